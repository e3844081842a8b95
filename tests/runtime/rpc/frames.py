"""Frames by hand, for peers that send what no library would."""

from tests.runtime.rpc.wire import REQUEST

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CALM = 11  # ENHANCE_YOUR_CALM
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = (
    *range(5),
    6,
    7,
    8,
    9,
)
END_STREAM, END_HEADERS, PADDED, ACK = 1, 4, 8, 1


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big")
    return head + payload


def block(path: bytes = b"/test.Echo/Plain", *extra: tuple[bytes, bytes]) -> bytes:
    """Return the header block of a request, which leaves the dynamic table alone."""
    fields = {**dict(REQUEST), b":path": path}
    return b"".join(literal(*field) for field in (*fields.items(), *extra))


def literal(name: bytes, value: bytes, *, index: bool = False) -> bytes:
    """Return a field with its name and value in plain text."""
    return (b"\x40" if index else b"\0") + text(name) + text(value)


def text(raw: bytes) -> bytes:
    """Return a string of HPACK (RFC 7541 section 5.2), not Huffman-coded."""
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    rest, out = len(raw) - 127, b"\x7f"
    while rest >= 128:
        out += bytes((rest & 127 | 128,))
        rest >>= 7
    return out + bytes((rest,)) + raw


def parse(out: bytes) -> list[tuple[int, int, int, bytes]]:
    """Return kind, flags, stream and payload of each whole frame."""
    found, at = [], 0
    while at + 9 <= len(out):
        end = at + 9 + int.from_bytes(out[at : at + 3], "big")
        stream_id = int.from_bytes(out[at + 5 : at + 9], "big")
        found.append((out[at + 3], out[at + 4], stream_id, out[at + 9 : end]))
        at = end
    return found


def goaway(out: bytes) -> tuple[int, bytes]:
    """Return error and text of the last GOAWAY in what a peer has sent; -1 without any."""
    found = (-1, b"")
    for kind, _, _, payload in parse(out):
        if kind == GOAWAY:
            found = int.from_bytes(payload[4:8], "big"), payload[8:]
    return found
