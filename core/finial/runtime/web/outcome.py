"""HTTP statuses as the observer knows outcomes."""

import grpc

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


def code_of(status: int) -> grpc.StatusCode:
    """The gRPC code that says what an HTTP status says."""
    if status < 400:
        return grpc.StatusCode.OK
    known = _CODES.get(status)
    if known is not None:
        return known
    return grpc.StatusCode.FAILED_PRECONDITION if status < 500 else grpc.StatusCode.INTERNAL
