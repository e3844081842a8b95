"""Base64url without padding, as JOSE uses it (RFC 7515 section 2), in its one canonical form.

Python's decoder skips what it does not know and takes any value in the unused last bits, so that
many texts mean the same bytes; here exactly one does.
"""

from __future__ import annotations

import binascii

# '-' and '_' become what binascii reads; '+', '/' and '=' become a byte that it refuses.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_URL = bytes.maketrans(b"+/", b"-_")
# The last character of a group of two or three has four or two bits that carry nothing: all zero.
_LAST_OF = {2: b"AQgw", 3: b"AEIMQUYcgkosw048"}
_PADDING = (b"", b"", b"==", b"=")


def encode(data: bytes) -> str:
    """Write bytes as base64url without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode()


def encode_number(number: int) -> str:
    """Write a positive number, big endian, in as few octets as it needs (RFC 7518 section 2)."""
    return encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def decode(text: bytes) -> bytes:
    """Read base64url without padding.

    Raises:
        ValueError: other characters, padding, an impossible length, or not the canonical form.
    """
    rest = len(text) % 4
    if rest and text[-1] not in _LAST_OF.get(rest, b""):
        raise ValueError("not base64url")
    try:
        return binascii.a2b_base64(text.translate(_TO_STANDARD) + _PADDING[rest], strict_mode=True)
    except binascii.Error:
        raise ValueError("not base64url") from None
