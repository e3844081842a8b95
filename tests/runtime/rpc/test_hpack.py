import re
from typing import Any

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finial.runtime.rpc import hpack as ours
from finial.runtime.rpc.hpack import FastDecoder, StatelessEncoder, encode_block

SIZE_UPDATES = re.compile(rb"([\x20-\x3e]|\x3f[\x80-\xff]*[\0-\x7f]){3}", re.DOTALL)
FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b":path", b":status", b"te", b"x", b"user-agent", b"long-" * 30]),
        st.binary(max_size=200),
    ),
    max_size=12,
)


@given(st.lists(FIELDS, max_size=4))
def test_every_block_of_hpacks_encoder_is_read_as_hpack_reads_it(
    blocks: list[Any],
) -> None:
    encoder, theirs, mine = hpack.Encoder(), hpack.Decoder(), FastDecoder(1 << 16)
    for fields in blocks:
        block = encoder.encode(fields)
        expected = [(bytes(n), bytes(v)) for n, v in theirs.decode(block, raw=True)]
        assert list(mine.decode(block)) == expected
        assert list(mine.header_table.dynamic_entries) == list(theirs.header_table.dynamic_entries)


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_any_bytes_are_read_or_refused_as_hpack_does(blocks: list[bytes]) -> None:
    theirs, mine = hpack.Decoder(), FastDecoder(1 << 16)
    for block in blocks:
        expected: object
        try:
            expected = [(bytes(n), bytes(v)) for n, v in theirs.decode(block, raw=True)]
        except (hpack.HPACKError, IndexError):
            with pytest.raises((hpack.HPACKError, IndexError)):
                mine.decode(block)
            return
        if SIZE_UPDATES.match(block):  # hpack takes any number of them
            return
        assert list(mine.decode(block)) == expected


@pytest.mark.parametrize("update", [b"\x20", b"\x3f\xe1\x1f"])
def test_a_block_resizes_the_table_twice_at_most(update: bytes) -> None:
    field = b"\x88"
    assert FastDecoder(1 << 16).decode(b"\x20\x3f\xe1\x1f" + field) == [(b":status", b"200")]
    with pytest.raises(hpack.HPACKDecodingError, match="too many table size updates"):
        FastDecoder(1 << 16).decode(2 * b"\x20" + update + field)


@given(st.lists(FIELDS, max_size=3))
def test_our_blocks_are_read_by_hpack_in_any_order(blocks: list[list[tuple[bytes, bytes]]]) -> None:
    decoder = hpack.Decoder()
    for fields in blocks:
        read = decoder.decode(encode_block(tuple(fields)), raw=True)
        assert [(bytes(n), bytes(v)) for n, v in read] == fields
    assert not decoder.header_table.dynamic_entries


def test_a_smaller_table_is_acknowledged_in_the_next_block() -> None:
    encoder, decoder = StatelessEncoder(), hpack.Decoder()
    encoder.header_table_size = 0
    decoder.max_allowed_table_size = 0
    fields = ((b":status", b"200"),)
    with pytest.raises(hpack.InvalidTableSizeError):
        decoder.decode(encode_block(fields))
    block = encoder.encode(fields)
    assert list(decoder.decode(block, raw=True)) == list(fields)
    assert encoder.encode(fields) == encode_block(fields)


def test_a_header_bomb_is_refused() -> None:
    encoder = hpack.Encoder()
    first = encoder.encode([(b"x", b"y" * 3000)])
    again = encoder.encode([(b"x", b"y" * 3000)] * 10)
    decoder = FastDecoder(8192)
    decoder.decode(first)
    with pytest.raises(hpack.OversizedHeaderListError):
        decoder.decode(again)


def test_kept_blocks_and_fields_are_bounded() -> None:
    encoder, decoder = hpack.Encoder(), FastDecoder(1 << 16)
    for number in range(2000):
        encode_block(((b"x", b"%d" % number),))
        decoder.decode(encoder.encode([(b":path", b"/%d" % number)]))
    assert len(ours._blocks) <= ours._KEEP_BLOCKS
    assert len(ours._fields) <= ours._KEEP_FIELDS


def test_values_that_may_be_secret_are_not_kept() -> None:
    FastDecoder(1 << 16).decode(hpack.Encoder().encode([(b"authorization", b"Bearer 1")]))
    assert not any(name == b"authorization" for name, _ in ours._fields)
