"""Writing bundle documents: nothing leaves that the standard forbids.

The rules, with their names in the conformance checklist: BND-01, -03, -05, -09, -12; X509-25 to
X509-27; JWT-20; WIT-25, WIT-26.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding

from finial.spiffe import certificate, public_key
from finial.spiffe.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptography import x509

    from finial.spiffe.bundle.authority import JwtAuthority, WitAuthority, X509Authority

_MAX_COUNTER = (1 << 64) - 1
_INDENT = 4
"""Spaces, as SPIRE writes them: operators compare the two by eye."""


def published_members(
    x509_authorities: Sequence[X509Authority],
    jwt_authorities: Sequence[JwtAuthority],
    wit_authorities: Sequence[WitAuthority],
    *,
    sequence: int,
    refresh_hint: int,
) -> dict[str, Any]:
    """The members of a bundle's document; ``spiffe_refresh_hint`` is left out when it is 0.

    Raises:
        BundleError: an X.509 authority is no CA, a key ID is missing or used twice over JWT and WIT
            keys, or a counter is not a 64-bit integer.
    """
    _check_counter("spiffe_sequence", sequence)
    _check_counter("spiffe_refresh_hint", refresh_hint)
    _check_key_ids([*jwt_authorities, *wit_authorities])
    document: dict[str, Any] = {
        "keys": [
            *map(_x509_jwk, x509_authorities),
            *({"use": "jwt-svid"} | _named_jwk(authority) for authority in jwt_authorities),
            *({"use": "wit-svid"} | _named_jwk(authority) for authority in wit_authorities),
        ],
        "spiffe_sequence": sequence,
    }
    if refresh_hint:
        document["spiffe_refresh_hint"] = refresh_hint
    return document


def workload_jwks(authorities: Iterable[JwtAuthority | WitAuthority]) -> bytes:
    """Write the JWK Set of the Workload API's JWT and WIT bundles: ``kid``, the key, no ``use``."""
    return to_json({"keys": [_named_jwk(authority) for authority in authorities]})


def to_json(document: dict[str, Any]) -> bytes:
    """Write a document as UTF-8 JSON."""
    return json.dumps(document, indent=_INDENT).encode()


def pem(authorities: Iterable[X509Authority]) -> bytes:
    """Write certificates as PEM, one after the other."""
    return b"".join(authority.cert.public_bytes(Encoding.PEM) for authority in authorities)


def der_of(cert: x509.Certificate) -> bytes:
    """The bytes of a certificate."""
    return cert.public_bytes(Encoding.DER)


def _x509_jwk(authority: X509Authority) -> dict[str, Any]:
    try:
        key = certificate.key_of(authority.cert)
    except ValueError as error:
        raise BundleError(f"X.509 authority: {error}") from None
    if not certificate.is_ca(authority.cert):
        raise BundleError("X.509 authority is not a CA certificate")  # X509-27
    # X509-26: no kid. X509-27: one certificate, standard base64, DER.
    return {
        "use": "x509-svid",
        **public_key.to_jwk(key),
        "x5c": [base64.b64encode(authority.der).decode()],
    }


def _named_jwk(authority: JwtAuthority | WitAuthority) -> dict[str, str]:
    key = public_key.to_jwk(authority.public_key)
    named = {"kty": key["kty"], "kid": authority.key_id}  # in SPIRE's order
    return named | key


def _check_key_ids(authorities: Sequence[JwtAuthority | WitAuthority]) -> None:
    seen: set[str] = set()
    for authority in authorities:
        if not authority.key_id:
            raise BundleError("key without key ID")  # JWT-20
        if authority.key_id in seen:
            raise BundleError(f'key ID "{authority.key_id}" is used twice')  # WIT-26
        seen.add(authority.key_id)


def _check_counter(name: str, value: int) -> None:
    if not 0 <= value <= _MAX_COUNTER:
        raise BundleError(f"{name} is not a 64-bit integer")
