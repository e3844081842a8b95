"""Private keys as JWKs: another implementation reads the very key."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from finial.spiffe import base64url, public_key
from finial.spiffe.private_jwk import to_private_jwk


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_an_ec_key_is_read_as_it_was_written(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    jwk = to_private_jwk(key)
    assert jwk.keys() == {"kty", "crv", "x", "y", "d"}
    read = ECAlgorithm.from_jwk(json.dumps(jwk))
    assert isinstance(read, ec.EllipticCurvePrivateKey)
    assert read.private_numbers() == key.private_numbers()


@pytest.mark.parametrize(
    ("curve", "size"), [(ec.SECP256R1(), 32), (ec.SECP384R1(), 48), (ec.SECP521R1(), 66)]
)
def test_an_ec_keys_secret_is_as_long_as_the_curves_order(
    curve: ec.EllipticCurve, size: int
) -> None:
    """RFC 7518 section 6.2.2.1: zeros in front are written."""
    secret = to_private_jwk(ec.derive_private_key(1, curve))["d"]
    assert base64url.decode(secret.encode()) == bytes(size - 1) + b"\x01"


def test_an_rsa_key_is_read_as_it_was_written() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = to_private_jwk(key)
    assert jwk.keys() == {"kty", "n", "e", "d", "p", "q", "dp", "dq", "qi"}
    read = RSAAlgorithm.from_jwk(json.dumps(jwk))
    assert isinstance(read, rsa.RSAPrivateKey)
    assert read.private_numbers() == key.private_numbers()
    assert not base64url.decode(jwk["d"].encode()).startswith(b"\x00")
    assert public_key.from_jwk(jwk) == key.public_key()


def test_a_key_that_is_not_taken_is_not_written() -> None:
    with pytest.raises(ValueError, match="RSA key has 1024 bits"):
        to_private_jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    with pytest.raises(ValueError, match="secp256k1 is not supported"):
        to_private_jwk(ec.generate_private_key(ec.SECP256K1()))
