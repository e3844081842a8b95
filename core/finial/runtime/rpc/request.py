"""What the header fields of a request say, understood once for all requests that are alike."""

from finial.runtime.rpc import metadata
from finial.runtime.rpc.hpack import SHARED_NAMES, Header
from finial.runtime.rpc.status import Metadata

_KEEP = 256
_KEEP_SIZE = 2048


class RequestHead:
    """The fields of a request but for its timeout. Immutable, shared between calls."""

    __slots__ = ("_headers", "_metadata", "encoding", "grpc", "method", "path", "plain", "size")

    def __init__(self, headers: tuple[Header, ...]) -> None:
        fields = dict(headers)
        self.size = 0  # bytes that a call holds by it; none when it is shared
        self._headers = headers
        self._metadata: Metadata | None = None
        self.path = fields.get(b":path", b"")
        self.method = fields.get(b":method", b"")
        self.grpc = is_grpc(fields.get(b"content-type", b""))
        self.encoding = fields.get(b"grpc-encoding", b"identity")
        # Whether h2 has nothing more to watch in the body.
        self.plain = b"content-length" not in fields

    @property
    def headers(self) -> tuple[Header, ...]:
        return self._headers

    @property
    def metadata(self) -> Metadata:
        if self._metadata is None:
            self._metadata = metadata.decode(self._headers)
        return self._metadata


def is_grpc(content_type: bytes) -> bool:
    """Tell whether a content type is gRPC's with protobuf messages."""
    base = content_type.split(b";", 1)[0].strip().lower()
    return base in (b"application/grpc", b"application/grpc+proto")


class HeadCache:
    """Heads by their fields. Those with metadata of the application's own are not kept."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: dict[tuple[Header, ...], RequestHead] = {}

    def get(self, headers: tuple[Header, ...]) -> RequestHead | None:
        return self._heads.get(headers)

    def add(self, headers: tuple[Header, ...]) -> RequestHead:
        """Make the head of fields that h2 has found valid."""
        head = RequestHead(headers)
        size = sum([32 + len(name) + len(value) for name, value in headers])
        if size <= _KEEP_SIZE and all(name in SHARED_NAMES for name, _ in headers):
            if len(self._heads) >= _KEEP:
                self._heads.clear()
            self._heads[headers] = head
        else:
            head.size = size
        return head
