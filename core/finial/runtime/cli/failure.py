"""What a command can fail with, and how that reads."""

import errno
from collections.abc import Mapping

CAMEL_CASE: Mapping[str, str] = {"CANCELLED": "Canceled", "OK": "OK"}


class FailureError(Exception):
    """A command cannot do what it was asked to; the text is for the operator, the exit code 1."""


def code_name(name: str) -> str:
    """GRPC's code as SPIRE prints it: `NOT_FOUND` gives `NotFound`."""
    return CAMEL_CASE.get(name) or "".join(part.capitalize() for part in name.split("_"))


def rpc_failure(code: str, message: str) -> str:
    """The text of a refused call, as SPIRE's programs print it; `code` is gRPC's name for it."""
    return f"rpc error: code = {code_name(code)} desc = {message}"


def file_failure(action: str, path: str, error: OSError) -> FailureError:
    """`open /x: no such file or directory`."""
    reason = error.strerror or errno.errorcode.get(error.errno or 0, type(error).__name__)
    return FailureError(f"{action} {path}: {reason.lower()}")
