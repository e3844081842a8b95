"""Just enough DER (X.690) to write a certificate and to read a SubjectPublicKeyInfo."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

SEQUENCE = 0x30
SET = 0x31
BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
UTF8_STRING = 0x0C
PRINTABLE_STRING = 0x13
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18

TRUE = bytes((BOOLEAN, 1, 0xFF))
NULL = bytes((0x05, 0))

_FIRST_SECOND_OF_2050 = 2_524_608_000


def tlv(tag: int, content: bytes) -> bytes:
    """One element: tag, length in its shortest form, content."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def sequence(*elements: bytes) -> bytes:
    """A SEQUENCE of elements that are already encoded."""
    return tlv(SEQUENCE, b"".join(elements))


def integer(value: int) -> bytes:
    """A non-negative INTEGER; a leading zero keeps it from reading as negative."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (40 * first + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | (arc & 0x7F))
        content += bytes(reversed(septets))
    return tlv(OBJECT_IDENTIFIER, bytes(content))


def bit_string(content: bytes) -> bytes:
    """A BIT STRING of whole octets."""
    return tlv(BIT_STRING, b"\0" + content)


@lru_cache(maxsize=1024)  # certificates come in bursts with the same second
def time(seconds: int) -> bytes:
    """Unix seconds as a Time: UTCTime to the end of 2049, then GeneralizedTime (RFC 5280 4.1.2.5).

    The year 9999 is the last.
    """
    moment = datetime.fromtimestamp(seconds, UTC)
    if seconds < _FIRST_SECOND_OF_2050:
        return tlv(UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode())


def read(data: bytes, at: int = 0) -> tuple[int, int, int]:
    """Where the element at `at` lies: tag, start of its content, end of its content."""
    tag, length = data[at], data[at + 1]
    start = at + 2
    if length >= 0x80:
        octets = length & 0x7F
        length = int.from_bytes(data[start : start + octets], "big")
        start += octets
    return tag, start, start + length


def key_bits(spki: bytes) -> bytes:
    """The public key's BIT STRING content in a well-formed SubjectPublicKeyInfo."""
    _, algorithm, _ = read(spki)
    _, _, after_algorithm = read(spki, algorithm)
    _, start, end = read(spki, after_algorithm)
    return spki[start + 1 : end]
