"""Metadata on the wire: lower-case names, ASCII values, and base64 for names ending in -bin."""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable

from finial.runtime.rpc.status import Metadata

Header = tuple[bytes, bytes]

# What belongs to the protocol is neither shown to handlers nor taken from callers.
RESERVED = frozenset(
    (
        b"te",
        b"content-type",
        b"grpc-timeout",
        b"grpc-encoding",
        b"grpc-accept-encoding",
        b"grpc-message-type",
        b"grpc-status",
        b"grpc-message",
        b"connection",
        b"host",
        b"content-length",
    )
)
_NAME = re.compile(rb"[0-9a-z_.\-]+")
_VALUE = re.compile(rb"[\x20-\x7e]*")


class MetadataError(ValueError):
    """A name or value that gRPC cannot carry."""


def encode(metadata: Iterable[tuple[str, str | bytes]]) -> list[Header]:
    """Return `metadata` as header fields.

    Raises:
        MetadataError: a name or a value is not one that gRPC can carry.
    """
    return [_encode_one(name, value) for name, value in metadata]


def _encode_one(name: str, value: str | bytes) -> Header:
    key = name.lower().encode("ascii", "replace")
    if not _NAME.fullmatch(key) or key in RESERVED:
        raise MetadataError(f"metadata name {name!r} is not allowed")
    raw = value.encode() if isinstance(value, str) else value
    if key.endswith(b"-bin"):
        return key, b64encode(raw).rstrip(b"=")
    if not _VALUE.fullmatch(raw) or raw != raw.strip(b" "):
        raise MetadataError(f"the value of metadata {name!r} is not printable ASCII")
    return key, raw


def decode(headers: Iterable[Header]) -> Metadata:
    """Return the fields that are the application's; binary ones decoded, damaged ones left out."""
    found: list[tuple[str, str | bytes]] = []
    for name, value in headers:
        if name[:1] == b":" or name in RESERVED:
            continue
        if not name.endswith(b"-bin"):
            found.append((name.decode("ascii", "replace"), value.decode("latin-1")))
            continue
        # Several values under one name may come joined by commas.
        for part in value.split(b","):
            raw = decode_binary(part)
            if raw is not None:
                found.append((name.decode("ascii", "replace"), raw))
    return tuple(found)


def decode_binary(value: bytes) -> bytes | None:
    """Return the bytes behind a -bin value, padded or not; None when it is not base64."""
    value = value.strip()
    try:
        return b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except Base64Error:
        return None
