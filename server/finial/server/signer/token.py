"""The one token without a key that is signed: a JWT-SVID (JWT-SVID sections 2 and 3), compact."""

from __future__ import annotations

import base64
import json
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finial.api.finial import signer_pb2
    from finial.server.signer.authority_key import AuthorityKey

_JTI_SIZE = 16


def sign_token(authority: AuthorityKey, order: signer_pb2.JwtOrder, issuer: str) -> tuple[str, str]:
    """Returns the token and its "jti", which is empty unless the order asks for one.

    The header holds alg, kid and typ and nothing else (JWT-SVID section 2); `aud` is an array
    even of one.
    """
    jti = _encode(os.urandom(_JTI_SIZE)) if order.include_jti else ""
    claims: dict[str, Any] = {
        "aud": list(order.audience),
        "exp": order.expires_at,
        "iat": order.issued_at,
        "sub": order.spiffe_id,
    }
    if issuer:
        claims["iss"] = issuer
    if jti:
        claims["jti"] = jti
    signed = f"{_header(authority.suite.jws, authority.record.id)}.{_encode_json(claims)}"
    return f"{signed}.{_encode(authority.sign_jws(signed.encode()))}", jti


@lru_cache(maxsize=16)
def _header(algorithm: str, key_id: str) -> str:
    return _encode_json({"alg": algorithm, "kid": key_id, "typ": "JWT"})


def _encode_json(value: dict[str, Any]) -> str:
    return _encode(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def _encode(data: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
