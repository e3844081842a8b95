"""Concatenated DER, the form in which the Workload API carries chains and bundles."""

from __future__ import annotations

from finial.spiffe.errors import X509SvidError

_SEQUENCE = 0x30
_LONG_FORM = 0x80
"""And above: so many octets of length follow; below, the octet is the length itself."""
_NOT_DER = "not concatenated DER certificates"


def split_certificates(data: bytes) -> tuple[bytes, ...]:
    """Cut concatenated DER into its outermost elements; what is in them is not looked at.

    Raises:
        X509SvidError: the bytes are not a row of whole DER sequences.
    """
    parts = []
    offset = 0
    while offset < len(data):
        end = _end_of_element(data, offset)
        parts.append(data[offset:end])
        offset = end
    return tuple(parts)


def _end_of_element(data: bytes, start: int) -> int:
    """Where the element ends (X.690 sections 8.1.2 and 10.1: definite lengths, shortest form)."""
    head = data[start : start + 2]
    if len(head) < 2 or head[0] != _SEQUENCE:
        raise X509SvidError(_NOT_DER)
    length, content = head[1], start + 2
    if length >= _LONG_FORM:
        octets = data[content : content + length - _LONG_FORM]
        content += length - _LONG_FORM
        length = int.from_bytes(octets, "big")
        if length < _LONG_FORM or octets[0] == 0:
            raise X509SvidError(_NOT_DER)
    if content + length > len(data):
        raise X509SvidError("the last certificate is cut short")
    return content + length
