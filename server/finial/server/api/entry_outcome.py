"""What becomes of one entry of a batch, in gRPC's codes and in the words that callers know."""

import grpc

from finial.api.spire import types_pb2
from finial.server.api.convert import status
from finial.server.registry.errors import (
    EntryIdTaken,
    InvalidEntry,
    NotFound,
    RegistryError,
    SimilarEntryExists,
)


def failure_status(verb: str, error: RegistryError) -> types_pb2.Status:
    """The status for `error`; `verb` is what was tried: "create" or "update"."""
    what = f"failed to {verb} entry"
    if isinstance(error, SimilarEntryExists):
        return status(grpc.StatusCode.ALREADY_EXISTS, "similar entry already exists")
    if isinstance(error, EntryIdTaken):
        return status(grpc.StatusCode.ALREADY_EXISTS, f"{what}: {error}")
    if isinstance(error, NotFound):
        return status(grpc.StatusCode.NOT_FOUND, what)
    if isinstance(error, InvalidEntry):
        said = what if error.stored_form else "failed to convert entry"
        return status(grpc.StatusCode.INVALID_ARGUMENT, f"{said}: {error}")
    return status(grpc.StatusCode.INTERNAL, f"{what}: {error}")
