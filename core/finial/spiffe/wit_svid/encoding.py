"""Writing WIT-SVIDs (WIT-SVID sections 2 to 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finial.spiffe import strict_json
from finial.spiffe.errors import SpiffeIdError, WitSvidError
from finial.spiffe.jose.algorithm import ALGORITHMS
from finial.spiffe.jose.writing import compact
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.wit_svid.confirmation import confirmation, read_confirmation
from finial.spiffe.wit_svid.token import TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def encode(
    claims: Mapping[str, Any], *, key_id: str, algorithm: str, sign: Callable[[bytes], bytes]
) -> str:
    """Write and sign a token whose header is exactly ``alg``, ``kid`` and ``typ`` (WIT-06).

    Args:
        claims: ``sub``, ``exp`` (integer) and ``cnf`` (as ``confirmation`` writes it) at least;
            written as they stand.
        key_id: names the key in the bundle.
        algorithm: one of the nine, fitting the key that signs.
        sign: signs bytes and gives the signature in the form that tokens carry, for ECDSA r and s
            one after the other (``jose.algorithm.EcAlgorithm.sign``).

    Raises:
        WitSvidError: the claims, key ID or algorithm are not those of a WIT-SVID.
    """
    if algorithm not in ALGORITHMS:  # WIT-05
        raise WitSvidError(f'"{algorithm}" is not an algorithm of WIT-SVIDs')
    if not key_id:  # WIT-01
        raise WitSvidError("missing key ID")
    _check_claims(claims)
    return compact({"alg": algorithm, "kid": key_id, "typ": TYPE}, claims, sign)


def _check_claims(claims: Mapping[str, Any]) -> None:
    try:
        SpiffeId(str(claims.get("sub", "")))  # WIT-08
    except SpiffeIdError as error:
        raise WitSvidError(f"invalid SPIFFE ID: {error}") from None
    if "aud" in claims:  # WIT-18
        raise WitSvidError("a WIT-SVID has no audience")
    if not strict_json.is_integer(claims.get("exp")):  # WIT-13
        raise WitSvidError("exp is not an integer")
    _check_optional(claims)
    # WIT-09: nothing in it that ``confirmation`` would not write.
    if confirmation(*read_confirmation(claims)) != claims["cnf"]:
        raise WitSvidError("cnf has members that are not those of a public key and its alg")


def _check_optional(claims: Mapping[str, Any]) -> None:
    for name in ("nbf", "iat"):
        if not strict_json.is_integer(claims.get(name, 0)):
            raise WitSvidError(f"{name} is not an integer")
    for name in ("iss", "jti"):
        if not isinstance(claims.get(name, ""), str):
            raise WitSvidError(f"{name} is not a text")
    # WIT-17: OpenID Connect Discovery begins at an https URL, and would take this for an ID token.
    if claims.get("iss", "").lower().startswith("https:"):
        raise WitSvidError("iss is an https URL, and WIT-SVIDs are no ID tokens")
