"""How a call ends: gRPC status codes, messages and details, and what HTTP/2 errors mean for them.

The wire forms are those of the gRPC specification "gRPC over HTTP2", sections Responses and Errors.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from h2.errors import ErrorCodes

Metadata = tuple[tuple[str, str | bytes], ...]

CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
DETAILS_KEY = "grpc-status-details-bin"

_BY_HTTP = {
    400: grpc.StatusCode.INTERNAL,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.UNIMPLEMENTED,
    429: grpc.StatusCode.UNAVAILABLE,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.UNAVAILABLE,
}
_BY_RESET = {
    ErrorCodes.REFUSED_STREAM: grpc.StatusCode.UNAVAILABLE,
    ErrorCodes.CANCEL: grpc.StatusCode.CANCELLED,
    ErrorCodes.ENHANCE_YOUR_CALM: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: grpc.StatusCode.PERMISSION_DENIED,
}
# Percent-encoding of grpc-message: printable ASCII but the percent sign stands for itself.
_PLAIN = frozenset(range(0x20, 0x7F)) - {0x25}


class StatusError(Exception):
    """A call's refusal: raised in a handler or a gate, it becomes the call's status.

    `details` are protobuf messages, sent as google.rpc.Status in grpc-status-details-bin.
    """

    def __init__(
        self, code: grpc.StatusCode, message: str = "", details: Sequence[Message] = ()
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.trailing_metadata: Metadata = ()

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


class RpcError(grpc.RpcError):
    """A call that ended with another status than OK, as its caller sees it."""

    def __init__(
        self, code: grpc.StatusCode, message: str, trailing_metadata: Metadata = ()
    ) -> None:
        super().__init__(code, message)
        self._code = code
        self._message = message
        self._trailing_metadata = trailing_metadata

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._message

    def trailing_metadata(self) -> Metadata:  # type: ignore[override]  # plain pairs
        return self._trailing_metadata

    def status_details(self) -> tuple[any_pb2.Any, ...]:
        """The details of grpc-status-details-bin, packed; empty when there are none."""
        for key, value in self._trailing_metadata:
            if key == DETAILS_KEY and isinstance(value, bytes):
                return unpack_details(value)
        return ()

    def __str__(self) -> str:
        return f"{self._code.name}: {self._message}"


def pack_details(code: grpc.StatusCode, message: str, details: Sequence[Message]) -> bytes:
    """Return a serialised google.rpc.Status."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return bytes(status.SerializeToString())


def unpack_details(raw: bytes) -> tuple[any_pb2.Any, ...]:
    """Return what a serialised google.rpc.Status holds; a damaged one holds nothing."""
    try:
        status: Any = status_pb2.Status.FromString(raw)
    except DecodeError:
        return ()
    return tuple(status.details)


def encode_message(message: str) -> bytes:
    """Return the percent-encoded form that grpc-message carries.

    A space at either end is encoded, too: no header field's value may have one there (RFC 9113
    section 8.2.1), and a strict peer ends the connection for it.
    """
    raw = message.encode("utf-8", "replace")
    if raw.isascii() and raw.isalnum():
        return raw
    encoded = b"".join(bytes((c,)) if c in _PLAIN else b"%%%02X" % c for c in raw)
    if encoded.startswith(b" "):
        encoded = b"%20" + encoded[1:]
    return encoded[:-1] + b"%20" if encoded.endswith(b" ") else encoded


def decode_message(raw: bytes) -> str:
    """Return the text of a grpc-message; bad escapes stay as they are (gRPC specification)."""
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    return raw.decode("utf-8", "replace")


def code_of(raw: bytes | None) -> grpc.StatusCode:
    """Return the code that a grpc-status header names; UNKNOWN for one that it does not."""
    if raw is None or not raw.isdigit() or len(raw) > 2:
        return grpc.StatusCode.UNKNOWN
    return CODES.get(int(raw), grpc.StatusCode.UNKNOWN)


def code_of_http(status: int) -> grpc.StatusCode:
    """Map an HTTP status that came without grpc-status."""
    return _BY_HTTP.get(status, grpc.StatusCode.UNKNOWN)


def code_of_reset(error: int) -> grpc.StatusCode:
    """Map the error code of a RST_STREAM."""
    return _BY_RESET.get(ErrorCodes(error), grpc.StatusCode.INTERNAL) if error < 14 else _UNKNOWN


_UNKNOWN = grpc.StatusCode.UNKNOWN
