"""The token that is bound to a workload's key: a WIT-SVID (WIT-SVID sections 2 and 3)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from finial.server.signer.refusal import Code, Refused
from finial.spiffe import base64url, wit_svid
from finial.spiffe.errors import WitSvidError

if TYPE_CHECKING:
    from finial.api.finial import signer_pb2
    from finial.server.signer.authority_key import AuthorityKey

MAX_KEY = 8192
"""Bytes of a SubjectPublicKeyInfo; the largest RSA key that is taken has an eighth of it."""

_JTI_SIZE = 16


def sign_wit_token(
    authority: AuthorityKey, order: signer_pb2.WitOrder, issuer: str
) -> tuple[str, str]:
    """Returns the token and its "jti", 128 random bits (WIT-11).

    The key is written anew, so that nothing but a public key and its algorithm stands in "cnf".

    Raises:
        Refused: the key is malformed, too weak, or does not fit the algorithm.
    """
    jti = base64url.encode(os.urandom(_JTI_SIZE))
    claims: dict[str, Any] = {
        "sub": order.spiffe_id,
        "cnf": _confirmation(order),
        "exp": order.expires_at,
        "iat": order.issued_at,
        "jti": jti,
    }
    if issuer:
        claims["iss"] = issuer
    token = wit_svid.encode(
        claims,
        key_id=authority.record.id,
        algorithm=authority.suite.jws,
        sign=authority.sign_jws,
    )
    return token, jti


def _confirmation(order: signer_pb2.WitOrder) -> dict[str, Any]:
    if not 0 < len(order.public_key) <= MAX_KEY:
        raise Refused(Code.MALFORMED_KEY, f"a public key has 1 to {MAX_KEY} bytes")
    try:
        key = load_der_public_key(order.public_key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Refused(Code.MALFORMED_KEY, "not a supported public key in PKIX form") from None
    try:
        return wit_svid.confirmation(key, order.algorithm)
    except WitSvidError as error:
        raise Refused(Code.KEY_UNFIT, str(error)[:200]) from None
