"""What the domain refuses, in gRPC's codes: the text at the front door.

SPIRE's callers match on codes and on the beginnings of texts: "<what>: <cause>", and "<what>"
alone for NotFound.
"""

from typing import Protocol

import grpc

from finial.runtime.rpc import StatusError
from finial.server.registry.errors import (
    EmptyFilter,
    InvalidEntry,
    InvalidPageToken,
    NotFound,
    RegistryError,
)


class _Paged(Protocol):
    """A request for a list."""

    @property
    def page_size(self) -> int: ...

    @property
    def page_token(self) -> str: ...


def invalid(message: str) -> StatusError:
    """An argument of the call is not valid."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.NOT_FOUND, message)


def listing_failure(what: str, error: RegistryError, verb: str = "list") -> StatusError:
    """A list or count call that the registry refused; `what` is "entries" or the like."""
    text = f"failed to {verb} {what}: {error}"
    if isinstance(error, InvalidPageToken | EmptyFilter):
        return invalid(text)
    return StatusError(grpc.StatusCode.INTERNAL, text)


def page_token(request: _Paged) -> str:
    """Where a list is to go on; as with SPIRE, one without pages begins at its beginning."""
    return request.page_token if request.page_size > 0 else ""


def code_of(error: RegistryError) -> grpc.StatusCode:
    """The code for what the registry refuses about one item."""
    if isinstance(error, InvalidEntry):
        return grpc.StatusCode.INVALID_ARGUMENT
    if isinstance(error, NotFound):
        return grpc.StatusCode.NOT_FOUND
    return grpc.StatusCode.INTERNAL
