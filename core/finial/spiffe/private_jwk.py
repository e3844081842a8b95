"""Private keys as JWKs (RFC 7517, RFC 7518 section 6): how WIT-SVIDs' keys reach workloads."""

from __future__ import annotations

from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from finial.spiffe import base64url, public_key

JwkPrivateKey: TypeAlias = EllipticCurvePrivateKey | RSAPrivateKey


def to_private_jwk(key: JwkPrivateKey) -> dict[str, str]:
    """Write the ``kty`` and key members of a private JWK, and nothing else. The result is a secret.

    Raises:
        ValueError: a key that is not taken, by kind, curve or size.
    """
    public = public_key.to_jwk(public_key.accept(key.public_key()))
    if isinstance(key, EllipticCurvePrivateKey):
        # RFC 7518 section 6.2.2.1: as long as the curve's order, zeros in front.
        size = (key.curve.key_size + 7) // 8
        secret = key.private_numbers().private_value.to_bytes(size, "big")
        return {**public, "d": base64url.encode(secret)}
    numbers = key.private_numbers()
    members = {
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dp": numbers.dmp1,
        "dq": numbers.dmq1,
        "qi": numbers.iqmp,
    }
    return {**public, **{name: base64url.encode_number(n) for name, n in members.items()}}
