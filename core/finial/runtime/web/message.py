"""Requests and responses, whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

REASONS = {
    200: b"OK",
    304: b"Not Modified",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    417: b"Expectation Failed",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose bytes have all come.

    Attributes:
        method: in capitals, as it came.
        path: of the target, without its query, as it came: nothing in it is decoded.
        host: the Host field, or the authority of an absolute target; empty with HTTP/1.0 at most.
        headers: fields by lower case name; of several with one name the values, comma-separated.
        body: what came with it.
        secure: whether it came over TLS.
    """

    method: str
    path: str
    host: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered. Content-Length and Date are added when it is sent."""

    status: int = 200
    body: bytes = b""
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def refusal(cls, status: int, text: str, *headers: tuple[str, str]) -> "Response":
        """A status other than 200, and in a line why."""
        return cls(status, f"{text}\n".encode(), TEXT, headers)


@dataclass(frozen=True, slots=True)
class Document:
    """A body that is served often, with the tag by which a client knows that it has it already."""

    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "etag", f'"{sha256(self.body).hexdigest()[:32]}"')

    def answer(self, request: Request) -> Response:
        """The document, or 304 (RFC 9110 section 13.1.2) when the client's copy is this one."""
        headers = (*self.headers, ("ETag", self.etag))
        if self._held(request.headers.get("if-none-match", "")):
            return Response(304, b"", self.content_type, headers)
        return Response(200, self.body, self.content_type, headers)

    def _held(self, tags: str) -> bool:
        known = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
        return self.etag in known or "*" in known
