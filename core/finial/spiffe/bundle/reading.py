"""Reading bundle documents: tolerant where the standard says ignore, deaf to everything else.

The rules, with their names in the conformance checklist:

- BND-02: no top-level member but ``keys`` is needed; BND-06: ``keys`` is.
- BND-07, BND-08: no key, or none that can be used, is a valid document that revokes everything.
- BND-10, BND-11: a JWK with unknown ``kty``, or missing or unknown ``use``, is passed over.
- X509-29: so is an ``x509-svid`` entry without certificate; of several only the first counts.
- A JWK that lacks what its use needs (``kid``), or whose key is malformed or of an unsupported
  size, is passed over, too (RFC 7517 section 5).

SPIRE refuses whole documents for some of these; a reader that did would lose its trust in a domain
that merely began to publish something new.
"""

from __future__ import annotations

import binascii
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from finial.spiffe import public_key, strict_json
from finial.spiffe.bundle.authority import JwtAuthority, WitAuthority, X509Authority
from finial.spiffe.errors import BundleError

MAX_DOCUMENT = 4 << 20
"""Bytes in a bundle document; SPIRE's largest gRPC message, ample for thousands of keys."""
MAX_KEYS = 4096
"""Keys in a bundle document, of all uses together."""
MAX_COMPLAINTS = 8
"""Keys that are complained of one by one; the others are only counted."""
MAX_COUNTER = (1 << 64) - 1
_KNOWN_KTY = frozenset({"EC", "RSA", "OKP"})

_H = TypeVar("_H", bound=Hashable)
_K = TypeVar("_K", JwtAuthority, WitAuthority)


class _Keys(list[_K]):
    """Keys in their order, and the IDs that are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.key_ids: set[str] = set()


@dataclass(slots=True)
class Document:
    """What a bundle document holds, and what was passed over in it.

    The X.509 authorities are the keys of a dict, which has each only once.
    """

    sequence: int
    refresh_hint: int
    x509_authorities: dict[X509Authority, None] = field(default_factory=dict)
    jwt_authorities: _Keys[JwtAuthority] = field(default_factory=_Keys)
    wit_authorities: _Keys[WitAuthority] = field(default_factory=_Keys)
    complaints: list[str] = field(default_factory=list)


def read_jwks(data: bytes) -> Document:
    """Read a bundle document.

    Raises:
        BundleError: larger than 4 MiB, not a JSON object, ``keys`` not an array of at most
            4,096 objects, or a counter that is no 64-bit integer.
    """
    if len(data) > MAX_DOCUMENT:
        raise BundleError(f"bundle document is larger than {MAX_DOCUMENT} bytes")
    try:
        members = strict_json.read_object(data)
    except ValueError as error:
        raise BundleError(f"bundle document: {error}") from None
    return read_members(members)


def read_members(members: dict[str, Any]) -> Document:
    """Read a bundle that is a JSON object by now.

    Raises:
        BundleError: ``keys`` is not an array of at most 4,096 objects, or a counter is no 64-bit
            integer.
    """
    keys = members.get("keys")
    if not isinstance(keys, list):
        raise BundleError("no authorities found")  # BND-06
    if len(keys) > MAX_KEYS:
        raise BundleError(f"bundle document has more than {MAX_KEYS} keys")
    document = Document(
        sequence=_counter(members, "spiffe_sequence"),
        refresh_hint=_counter(members, "spiffe_refresh_hint"),
    )
    passed_over = 0
    for index, jwk in enumerate(keys):
        if not isinstance(jwk, dict):
            raise BundleError(f"bundle document: key {index} is not a JSON object")
        try:
            _take(document, jwk)
        except ValueError as error:
            passed_over += 1
            if passed_over <= MAX_COMPLAINTS:
                document.complaints.append(f"key {index}: {error}")
    if passed_over > MAX_COMPLAINTS:
        document.complaints.append(f"and {passed_over - MAX_COMPLAINTS} more")
    return document


def distinct(items: Iterable[_H]) -> tuple[_H, ...]:
    """Drop what was seen before, keeping the order."""
    return tuple(dict.fromkeys(items))


def _take(document: Document, jwk: dict[str, Any]) -> None:
    kty, use = jwk.get("kty"), jwk.get("use")
    if not isinstance(kty, str) or kty not in _KNOWN_KTY:
        raise ValueError("unknown kty")  # BND-10
    # BND-11: compared with case.
    if use == "x509-svid":
        _append(document.x509_authorities, X509Authority.from_der(_first_certificate(jwk)))
    elif use == "jwt-svid":
        _append_key(document.jwt_authorities, _named_key(jwk, JwtAuthority))
    elif use == "wit-svid":
        _append_key(document.wit_authorities, _named_key(jwk, WitAuthority))
    else:
        raise ValueError("missing or unknown use")


def _first_certificate(jwk: dict[str, Any]) -> bytes:
    certs = jwk.get("x5c")
    if not isinstance(certs, list) or not certs or not isinstance(certs[0], str):
        raise ValueError("x5c is missing or empty")  # X509-29
    try:
        return binascii.a2b_base64(certs[0], strict_mode=True)
    except ValueError:
        raise ValueError("x5c is not base64") from None


def _named_key(jwk: dict[str, Any], kind: type[_K]) -> _K:
    key_id = jwk.get("kid")
    if not isinstance(key_id, str) or not key_id:
        raise ValueError("missing kid")
    return kind.from_key(key_id, public_key.from_jwk(jwk))


def _append(authorities: dict[X509Authority, None], authority: X509Authority) -> None:
    if authority not in authorities:
        authorities[authority] = None


def _append_key(authorities: _Keys[_K], authority: _K) -> None:
    if authority.key_id in authorities.key_ids:
        raise ValueError("kid is used twice")
    authorities.key_ids.add(authority.key_id)
    authorities.append(authority)


def _counter(members: dict[str, Any], name: str) -> int:
    value = members.get(name)
    if value is None:
        return 0
    if not strict_json.is_integer(value) or not 0 <= value <= MAX_COUNTER:
        raise BundleError(f"bundle document: {name} is not a 64-bit integer")
    return int(value)
