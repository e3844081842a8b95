"""What the domain refuses, in gRPC's codes: the text at the front door.

SPIRE's callers match on codes and on the beginnings of texts: "<what>: <cause>", and "<what>"
alone for NotFound.
"""

import grpc

from finial.runtime.rpc import StatusError
from finial.server.registry.errors import (
    EmptyFilter,
    InvalidEntry,
    InvalidPageToken,
    NotFound,
    RegistryError,
)


def invalid(message: str) -> StatusError:
    """An argument of the call is not valid."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.NOT_FOUND, message)


def listing_failure(what: str, error: RegistryError) -> StatusError:
    """A list or count call that the registry refused; `what` is "entries" or the like."""
    if isinstance(error, InvalidPageToken | EmptyFilter):
        return invalid(f"failed to list {what}: {error}")
    return StatusError(grpc.StatusCode.INTERNAL, f"failed to list {what}: {error}")


def code_of(error: RegistryError) -> grpc.StatusCode:
    """The code for what the registry refuses about one item."""
    if isinstance(error, InvalidEntry):
        return grpc.StatusCode.INVALID_ARGUMENT
    if isinstance(error, NotFound):
        return grpc.StatusCode.NOT_FOUND
    return grpc.StatusCode.INTERNAL
