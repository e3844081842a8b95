"""Concatenated DER is cut at the very lengths that it states."""

from __future__ import annotations

import pytest

from finial.spiffe.errors import X509SvidError
from finial.spiffe.x509_svid import split_certificates


def sequence(length: int) -> bytes:
    """A DER sequence with so many bytes in it (X.690 section 10.1: the shortest form)."""
    if length < 0x80:
        head = bytes([0x30, length])
    else:
        octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
        head = bytes([0x30, 0x80 | len(octets)]) + octets
    return head + bytes(length)


LENGTHS = [0, 1, 2, 3, 0x7E, 0x7F, 0x80, 0x81, 0xFF, 0x100, 0x1FE, 0xFFFF, 0x10000]


@pytest.mark.parametrize("length", LENGTHS)
def test_every_form_of_length_is_read(length: int) -> None:
    element = sequence(length)
    assert split_certificates(element) == (element,)
    assert split_certificates(element + sequence(5) + element) == (element, sequence(5), element)


@pytest.mark.parametrize("length", LENGTHS[1:])
def test_an_element_that_is_cut_short_is_refused(length: int) -> None:
    for before in (b"", sequence(3), sequence(300)):
        for missing in (1, 2, length):
            with pytest.raises(X509SvidError, match=r"^(the last .* cut short|not concatenated)"):
                split_certificates((before + sequence(length))[:-missing])


def test_a_length_that_is_cut_short_is_refused() -> None:
    for data in (b"\x30", b"\x30\x81", b"\x30\x82", b"\x30\x82\x01", b"\x30\x84\x00\x00\x00"):
        for before in (b"", sequence(4)):
            with pytest.raises(X509SvidError):
                split_certificates(before + data)


def test_indefinite_and_longer_than_needed_lengths_are_no_der() -> None:
    for data in (
        b"\x30\x80",
        b"\x30\x80\x00\x00",
        b"\x30\x81\x01a",
        b"\x30\x82\x00\x80" + bytes(128),
    ):
        with pytest.raises(X509SvidError, match="not concatenated DER certificates"):
            split_certificates(data)


def test_only_sequences_are_certificates() -> None:
    for data in (b"\x31\x00", b"\x2f\x00", b"\x02\x01a", sequence(1) + b"\x04\x00", b"\xff" * 4):
        with pytest.raises(X509SvidError, match="not concatenated DER certificates"):
            split_certificates(data)
