from datetime import UTC, datetime

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from finial.server.signer import der


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "020100"), (127, "02017f"), (128, "02020080"), (256, "02020100"), (2**63, None)],
)
def test_integers_are_positive_and_short(value: int, encoded: str | None) -> None:
    found = der.integer(value)
    assert encoded is None or found.hex() == encoded
    _, start, end = der.read(found)
    assert int.from_bytes(found[start:end], "big", signed=True) == value


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=70_000))
def test_an_element_is_read_back_as_written(content: bytes) -> None:
    tag, start, end = der.read(der.tlv(der.OCTET_STRING, content))
    assert tag == der.OCTET_STRING
    assert end - start == len(content)


@pytest.mark.parametrize("length", [0, 127, 128, 255, 256, 65_535, 65_536])
def test_lengths_have_their_shortest_form(length: int) -> None:
    header = len(der.tlv(der.OCTET_STRING, bytes(length))) - length
    assert header == 2 + (length > 127) + (length > 255) + (length > 65_535)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=8))
def test_object_identifiers_are_those_of_cryptography(arcs: list[int]) -> None:
    dotted = ".".join(["1.3", *(str(arc) for arc in arcs)])
    eku = x509.ExtendedKeyUsage([x509.ObjectIdentifier(dotted)])
    assert eku.public_bytes() == der.sequence(der.oid(dotted))


@pytest.mark.parametrize(
    ("moment", "content"),
    [
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x17\x0d491231235959Z"),
        (datetime(2050, 1, 1, tzinfo=UTC), b"\x18\x0f20500101000000Z"),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), b"\x17\x0d700101000001Z"),
    ],
)
def test_times_change_their_form_in_2050(moment: datetime, content: bytes) -> None:
    assert der.time(int(moment.timestamp())) == content
