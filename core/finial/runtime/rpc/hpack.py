"""HPACK (RFC 7541) for many short calls: blocks kept as bytes, fields decoded in one loop."""

from collections.abc import Iterable
from typing import Any

from hpack import Decoder, Encoder, HPACKDecodingError, InvalidTableIndexError
from hpack.exceptions import OversizedHeaderListError
from hpack.hpack import decode_integer
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

Header = tuple[bytes, bytes]

_STATIC: tuple[Header, ...] = HeaderTable.STATIC_TABLE
_STATIC_COUNT = len(_STATIC)
# Blocks of a few dozen status and content-type lists; metadata and messages of callers must not
# be able to grow it.
_KEEP_BLOCKS = 256
_KEEP_BYTES = 512
_blocks: dict[tuple[Header, ...], bytes] = {}
# Header fields that many connections send alike are held once. Only these names: their values
# are no secrets.
SHARED_NAMES = frozenset(
    (
        b":authority",
        b":method",
        b":path",
        b":scheme",
        b"content-type",
        b"grpc-accept-encoding",
        b"te",
        b"user-agent",
        b"workload.spiffe.io",
    )
)
_KEEP_FIELDS = 512
# The first block of a connection, when it is one that many connections send alike: its fields,
# what it leaves in the dynamic table, that table's size, and the size of the header list.
_KEEP_FIRST = 64
_first: dict[bytes, tuple[tuple[Header, ...], tuple[Header, ...], int, int]] = {}
_KEEP_VALUE = 128
# RFC 7541 section 4.2: one to the smallest size that there was meanwhile, one to the last. The
# header list's bound does not count them, and a block of nothing else may have a million.
_MOST_SIZE_UPDATES = 2
_fields: dict[Header, Header] = {}


def encode_block(headers: tuple[Header, ...]) -> bytes:
    """Return a block that leaves every dynamic table alone, so that it fits any connection."""
    block = _blocks.get(headers)
    if block is None:
        block = b"".join(_encode_field(name, value) for name, value in headers)
        if len(block) < _KEEP_BYTES:
            if len(_blocks) >= _KEEP_BLOCKS:
                _blocks.clear()
            _blocks[headers] = block
    return block


def _encode_field(name: bytes, value: bytes) -> bytes:
    known = HeaderTable.STATIC_TABLE_MAPPING.get(name)
    if known is None:
        return b"\0" + _encode_string(name) + _encode_string(value)
    index = known[1].get(value)
    if index is not None:
        return bytes((0x80 | index,))
    return _encode_integer(known[0], 4) + _encode_string(value)


def _encode_string(raw: bytes) -> bytes:
    return _encode_integer(len(raw), 7) + raw


def _encode_integer(number: int, bits: int) -> bytes:
    most = (1 << bits) - 1
    if number < most:
        return bytes((number,))
    out = bytearray((most,))
    number -= most
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


class StatelessEncoder(Encoder):
    """An encoder that never adds to the peer's table, but still acknowledges its size."""

    def prefix(self) -> bytes:
        """Return the table size update that the next block must start with, most often nothing."""
        if not self.header_table.resized:
            return b""
        self.header_table.resized = False
        return self._encode_table_size_change()

    def encode(self, headers: Any, huffman: bool = True) -> bytes:  # noqa: ARG002
        return self.prefix() + encode_block(tuple(headers))


class FastDecoder(Decoder):
    """hpack's decoder with one loop for the common field forms.

    `generation` changes whenever the dynamic table does: two equal blocks of one generation that
    leave it alone mean the same fields.
    """

    def __init__(self, max_header_list_size: int) -> None:
        super().__init__(max_header_list_size)
        self.generation = 0

    def decode(self, data: bytes, raw: bool = True) -> Iterable[Any]:  # noqa: ARG002
        """Return the fields of a block as (name, value) bytes, checked as hpack checks them."""
        if self.generation:
            return self._decode(data)
        known = _first.get(data)
        if known is None or not self._untouched or known[3] > self.max_header_list_size:
            headers = self._decode(data)
            self._remember(data, headers)
            return headers
        fields, entries, size, _ = known
        self.header_table.dynamic_entries.extend(entries)
        self.header_table._current_size = size  # noqa: SLF001
        self.generation = len(entries)
        return list(fields)

    @property
    def _untouched(self) -> bool:
        """Whether all bounds are as at the start; those of what is remembered were."""
        most = HeaderTable.DEFAULT_SIZE
        return self.header_table.maxsize == self.max_allowed_table_size == most

    def _remember(self, block: bytes, headers: list[Header]) -> None:
        table = self.header_table
        entries = tuple(table.dynamic_entries)
        if (
            self._untouched
            and self.generation == len(entries) > 0
            and len(block) <= _KEEP_BYTES
            and all(name in SHARED_NAMES for name, _ in headers)
        ):
            if len(_first) >= _KEEP_FIRST:
                _first.clear()
            listed = sum(32 + len(name) + len(value) for name, value in headers)
            _first[block] = (tuple(headers), entries, table._current_size, listed)  # noqa: SLF001

    def _decode(self, data: bytes) -> list[Header]:
        headers: list[Header] = []
        at, end, size, updates = 0, len(data), 0, 0
        if end > self.max_header_list_size:
            # Only Huffman codes that lengthen the text could make a lawful list of it; and they
            # take longest to read.
            raise OversizedHeaderListError(f"a block of {end} bytes")
        while at < end:
            first = data[at]
            if first >= 0x80:
                if first == 0xFF:
                    index, used = decode_integer(data[at : at + 8], 7)
                    at += used
                else:
                    index = first & 0x7F
                    at += 1
                field = self._field(index)
            elif first & 0xE0 == 0x20:
                if headers:
                    raise HPACKDecodingError("table size update after a field")
                updates += 1
                if updates > _MOST_SIZE_UPDATES:
                    raise HPACKDecodingError("too many table size updates")
                at += self._update_encoding_context(data[at : at + 8])
                self.generation += 1
                continue
            else:
                field, at = self._literal(data, at, first)
            size += 32 + len(field[0]) + len(field[1])
            if size > self.max_header_list_size:
                raise OversizedHeaderListError(f"more than {self.max_header_list_size} bytes")
            headers.append(field)
        self._assert_valid_table_size()
        return headers

    def _field(self, index: int) -> Header:
        if index > _STATIC_COUNT:
            try:
                return self.header_table.dynamic_entries[index - _STATIC_COUNT - 1]
            except IndexError:
                raise InvalidTableIndexError(f"no header field {index}") from None
        if index == 0:
            raise InvalidTableIndexError("no header field 0")
        return _STATIC[index - 1]

    def _literal(self, data: bytes, at: int, first: int) -> tuple[Header, int]:
        indexed = first & 0x40
        bits = 6 if indexed else 4
        index, used = decode_integer(data[at : at + 8], bits)
        at += used
        if index:
            name = self._field(index)[0]
        else:
            name, at = _decode_string(data, at)
        value, at = _decode_string(data, at)
        field = (name, value)
        if indexed:
            field = _share(field)
            self.header_table.add(*field)
            self.generation += 1
            entries = self.header_table.dynamic_entries
            if entries:
                # The table built a tuple of its own; this one is shared and hashed already.
                entries[0] = field
        return field, at


def _share(field: Header) -> Header:
    if field[0] not in SHARED_NAMES or len(field[1]) > _KEEP_VALUE:
        return field
    if len(_fields) >= _KEEP_FIELDS:
        _fields.clear()
    return _fields.setdefault(field, field)


def _decode_string(data: bytes, at: int) -> tuple[bytes, int]:
    size, used = decode_integer(data[at : at + 8], 7)
    start = at + used
    text = data[start : start + size]
    if len(text) != size:
        raise HPACKDecodingError("truncated header block")
    if data[at] & 0x80:
        text = bytes(decode_huffman(text))
    return text, start + size


class ResponseDecoder(FastDecoder):
    """Takes a grpc-message as other servers send it: spaces at its ends included.

    grpc-go encodes none, and h2 ends the connection for them (RFC 9113 section 8.2.1).
    """

    def decode(self, data: bytes, raw: bool = True) -> Iterable[Any]:
        headers = super().decode(data, raw)
        if any(name == b"grpc-message" and value != value.strip() for name, value in headers):
            return [
                (name, value.strip() if name == b"grpc-message" else value)
                for name, value in headers
            ]
        return headers
