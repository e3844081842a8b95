"""Private keys and certificate requests.

A key on P-256 and its request cost about 0.2 ms, an RSA key some 100 ms: many of the one, and any
of the other, belong on a thread.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from finial.spiffe.spiffe_id import SpiffeId

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_SUBJECT = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SPIRE"),
    ]
)


class KeyType(Enum):
    """What `workload_x509_svid_key_type` may be."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    RSA_2048 = "rsa-2048"


def new_key(key_type: KeyType = KeyType.EC_P256) -> PrivateKey:
    """Make a private key."""
    match key_type:
        case KeyType.EC_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.EC_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyType.RSA_2048:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pkcs8(key: PrivateKey) -> bytes:
    """Return the key as unencrypted PKCS#8 DER."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def load_pkcs8(data: bytes) -> PrivateKey:
    """Read an unencrypted PKCS#8 key. Raises ValueError when it is none, or of another kind."""
    try:
        key = load_der_private_key(data, password=None)
    except (TypeError, ValueError):
        raise ValueError("not an unencrypted PKCS#8 private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("neither an elliptic curve nor an RSA key")  # noqa: TRY004
    return key


def public_der(key: PrivateKey) -> bytes:
    """Return the public half as SubjectPublicKeyInfo DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_der_of(cert: x509.Certificate) -> bytes:
    """Return a certificate's public key as SubjectPublicKeyInfo DER."""
    return cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def request(key: PrivateKey, spiffe_id: SpiffeId | None = None) -> bytes:
    """Return a signed PKCS#10 request, DER.

    An agent's own carries no ID: the server chooses it. A workload's carries the ID the agent
    expects; the server goes by the entry all the same.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(_SUBJECT)
    if spiffe_id is not None:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id.uri)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, _hash_for(key)).public_bytes(Encoding.DER)


def _hash_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp384r1":
        return hashes.SHA384()
    return hashes.SHA256()
