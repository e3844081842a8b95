"""The ``cnf`` claim: the workload's public key (WIT-SVID section 3.2, RFC 7800 section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finial.spiffe import public_key
from finial.spiffe.errors import WitSvidError
from finial.spiffe.jose.algorithm import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finial.spiffe.public_key import PublicKey

_SECRET = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""The members of a JWK that are nobody's but the workload's (RFC 7518 sections 6.2.2 to 6.4.1)."""


def confirmation(key: object, algorithm: str) -> dict[str, Any]:
    """Write the ``cnf`` claim for a workload's public key.

    Args:
        key: the public key.
        algorithm: the one of the nine that the workload signs its proofs with.

    Raises:
        WitSvidError: the algorithm is not one of the nine or does not fit the key, or the key is
            not one that is taken.
    """
    if algorithm not in ALGORITHMS:  # WIT-10
        raise WitSvidError(f'"{algorithm}" is not an algorithm of WIT-SVIDs')
    try:
        accepted = public_key.accept(key)
    except ValueError as error:
        raise WitSvidError(f"workload key: {error}") from None
    if not ALGORITHMS[algorithm].fits(accepted):
        raise WitSvidError(f"workload key does not fit {algorithm}")
    return {"jwk": {**public_key.to_jwk(accepted), "alg": algorithm}}


def read_confirmation(claims: Mapping[str, Any]) -> tuple[PublicKey, str]:
    """Read the workload's key, and the name of the algorithm of its proofs, from a token's claims.

    Members of ``cnf`` beside ``jwk`` are passed over (RFC 7800 section 3.1), and so are those of
    the JWK that are neither the key's nor ``alg``.

    Raises:
        WitSvidError: no ``cnf``, no ``jwk`` in it, no ``alg`` of the nine in that, a key that is
            malformed, not taken, or does not fit the ``alg``; or a private key.
    """
    cnf = claims.get("cnf")
    if not isinstance(cnf, dict):  # WIT-09
        raise WitSvidError("token missing cnf claim")
    jwk = cnf.get("jwk")
    if not isinstance(jwk, dict):  # WIT-09
        raise WitSvidError("cnf claim missing jwk")
    name = jwk.get("alg")
    algorithm = ALGORITHMS.get(name) if isinstance(name, str) else None
    if algorithm is None:  # WIT-10
        raise WitSvidError("cnf key's alg is not an algorithm of WIT-SVIDs")
    if not _SECRET.isdisjoint(jwk):
        raise WitSvidError("cnf key is private")
    try:
        key = public_key.from_jwk(jwk)
    except ValueError as error:
        raise WitSvidError(f"cnf key: {error}") from None
    if not algorithm.fits(key):
        raise WitSvidError("cnf key does not fit its alg")
    return key, algorithm.name
