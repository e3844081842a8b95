"""The key types of authorities, and what each is called in X.509 and in JWS."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from finial.api.finial import signer_pb2
from finial.server.signer import der

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_RSA_EXPONENT = 65537
_RSA_SIZES: dict[int, int] = {signer_pb2.RSA_2048: 2048, signer_pb2.RSA_4096: 4096}


@dataclass(frozen=True, slots=True)
class Suite:
    """One way to sign.

    Attributes:
        digest: the hash.
        algorithm: X.509 AlgorithmIdentifier, DER.
        jws: the JWS "alg" (JWT-SVID section 2.1).
    """

    digest: hashes.HashAlgorithm
    algorithm: bytes
    jws: str


_ES256 = Suite(hashes.SHA256(), der.sequence(der.oid("1.2.840.10045.4.3.2")), "ES256")
_ES384 = Suite(hashes.SHA384(), der.sequence(der.oid("1.2.840.10045.4.3.3")), "ES384")
_RS256 = Suite(hashes.SHA256(), der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL), "RS256")
_SUITES: dict[int, Suite] = {
    signer_pb2.EC_P256: _ES256,
    signer_pb2.EC_P384: _ES384,
    signer_pb2.RSA_2048: _RS256,
    signer_pb2.RSA_4096: _RS256,
}


def suite_of(key_type: int) -> Suite:
    """How an authority of that key type signs.

    Raises:
        ValueError: the key type is none that authorities have.
    """
    try:
        return _SUITES[key_type]
    except KeyError:
        raise ValueError(f"key type {key_type} is none that authorities have") from None


def generate_key(key_type: int) -> PrivateKey:
    """A new private key.

    Raises:
        ValueError: the key type is none that authorities have.
    """
    if key_type in _RSA_SIZES:
        return rsa.generate_private_key(_RSA_EXPONENT, _RSA_SIZES[key_type])
    return ec.generate_private_key(
        ec.SECP256R1() if suite_of(key_type) is _ES256 else ec.SECP384R1()
    )
