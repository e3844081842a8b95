"""The self-signed certificate of an X.509 authority (X509-SVID sections 2, 4.1 to 4.4)."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from finial.api.finial import signer_pb2
    from finial.server.signer.algorithms import PrivateKey

_KEY_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def self_signed(
    private: PrivateKey,
    trust_domain: str,
    subject: signer_pb2.CaSubject,
    not_before: int,
    not_after: int,
) -> bytes:
    """Make a CA certificate, DER; times in Unix seconds.

    The subject carries the serial, so that no two authorities of a trust domain share a name and
    a verifier never tries the wrong one. No path length, no authority key identifier.
    """
    serial = new_serial()
    name = _name(subject, serial)
    own_id = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")
    builder = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name)
        .public_key(private.public_key())
        .serial_number(serial)
        .not_valid_before(datetime.fromtimestamp(not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(not_after, UTC))
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([own_id]), critical=False)
    )
    return builder.sign(private, _digest(private)).public_bytes(serialization.Encoding.DER)


def _name(subject: signer_pb2.CaSubject, serial: int) -> x509.Name:
    attributes = [
        *(x509.NameAttribute(NameOID.COUNTRY_NAME, each) for each in subject.country),
        *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in subject.organization),
    ]
    if subject.common_name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, subject.common_name))
    attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, str(serial)))
    return x509.Name(attributes)


def new_serial() -> int:
    """A random positive serial of at most 128 bits (RFC 5280 section 4.1.2.2)."""
    return 1 + secrets.randbelow(2**128 - 1)


def _digest(private: PrivateKey) -> hashes.SHA256 | hashes.SHA384:
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name == "secp384r1":
        return hashes.SHA384()
    return hashes.SHA256()
