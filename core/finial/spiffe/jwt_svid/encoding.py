"""Writing tokens (JWT-SVID sections 2 and 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finial.spiffe import strict_json
from finial.spiffe.errors import JwtSvidError, SpiffeIdError
from finial.spiffe.jose.algorithm import ALGORITHMS
from finial.spiffe.jose.writing import compact
from finial.spiffe.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def encode(claims: Mapping[str, Any], key_id: str, alg: str, sign: Callable[[bytes], bytes]) -> str:
    """Write and sign a token whose header is exactly ``alg``, ``kid`` and ``typ``.

    Args:
        claims: ``sub``, ``aud`` (array), ``exp`` (integer) at least; written as they stand.
        key_id: names the key in the bundle.
        alg: one of the nine, fitting the key.
        sign: signs bytes and gives the signature in the form that tokens carry, for ECDSA r and s
            one after the other (``jose.algorithm.EcAlgorithm.sign``).

    Raises:
        JwtSvidError: the claims, key ID or algorithm are not those of a JWT-SVID.
    """
    if alg not in ALGORITHMS:  # JWT-04
        raise JwtSvidError(f'"{alg}" is not an algorithm of JWT-SVIDs')
    if not key_id:  # JWT-07
        raise JwtSvidError("missing key ID")
    _check_claims(claims)
    return compact({"alg": alg, "kid": key_id, "typ": "JWT"}, claims, sign)  # JWT-03


def _check_claims(claims: Mapping[str, Any]) -> None:
    try:
        SpiffeId(str(claims.get("sub", "")))  # JWT-09
    except SpiffeIdError as error:
        raise JwtSvidError(f"invalid SPIFFE ID: {error}") from None
    audience = claims.get("aud")
    if not isinstance(audience, list) or not audience or not all(map(_is_name, audience)):  # JWT-10
        raise JwtSvidError("at least one audience is required")
    if not strict_json.is_integer(claims.get("exp")):  # JWT-14
        raise JwtSvidError("exp is not an integer")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""
