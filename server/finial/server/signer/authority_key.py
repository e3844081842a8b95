"""An authority with its private key: made, restored, and used to sign. Only ever in a signer."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from finial.api.finial import signer_pb2
from finial.server.signer import algorithms
from finial.server.signer.ca_certificate import self_signed

if TYPE_CHECKING:
    from finial.server.signer.algorithms import PrivateKey

_KEY_ID_ALPHABET = string.ascii_letters + string.digits
_KEY_ID_LENGTH = 32


class AuthorityKey:
    """A private key and the authority it belongs to.

    Attributes:
        record: the public side, as it is told to the API process.
        suite: names of the signature algorithm in X.509 and in JWS.
        name: X.509 only: the CA's subject.
        issuer: X.509 only: the same, DER.
        key_identifier: X.509 only: the CA's subject key identifier.
    """

    __slots__ = ("_private", "issuer", "key_identifier", "name", "record", "suite")

    def __init__(self, record: signer_pb2.Authority, private: PrivateKey) -> None:
        self.record = record
        self.suite = algorithms.suite_of(record.key_type)
        self._private = private
        self.name = x509.Name([])
        self.issuer = b""
        self.key_identifier = b""
        if record.kind == signer_pb2.X509:
            certificate = x509.load_der_x509_certificate(record.certificate)
            self.name = certificate.subject
            self.issuer = certificate.subject.public_bytes()
            self.key_identifier = bytes.fromhex(record.id)

    def sign(self, data: bytes) -> bytes:
        """A signature as X.509 has it: for ECDSA the DER of r and s."""
        if isinstance(self._private, rsa.RSAPrivateKey):
            return self._private.sign(data, padding.PKCS1v15(), self.suite.digest)
        return self._private.sign(data, ec.ECDSA(self.suite.digest))

    def sign_jws(self, data: bytes) -> bytes:
        """A signature as JWS has it: for ECDSA r and s side by side (RFC 7518 section 3.4)."""
        signature = self.sign(data)
        if isinstance(self._private, rsa.RSAPrivateKey):
            return signature
        size = (self._private.curve.key_size + 7) // 8
        r, s = decode_dss_signature(signature)
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def to_message(self) -> signer_pb2.KeyedAuthority:
        """Both sides, for a sibling or the key manager; never for the API process."""
        key = self._private.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return signer_pb2.KeyedAuthority(authority=self.record, private_key=key)


def generate(
    order: signer_pb2.GenerateAuthority, trust_domain: str, subject: signer_pb2.CaSubject
) -> AuthorityKey:
    """Make a key and, for X.509, its self-signed certificate.

    Raises:
        ValueError: the key type is none that authorities have.
    """
    private = algorithms.generate_key(order.key_type)
    record = signer_pb2.Authority(
        slot=order.slot,
        kind=order.kind,
        key_type=order.key_type,
        not_before=order.not_before,
        not_after=order.not_after,
        public_key=_spki(private),
    )
    if order.kind == signer_pb2.X509:
        record.certificate = self_signed(
            private, trust_domain, subject, order.not_before, order.not_after
        )
        record.id = _key_identifier(private).hex()
    else:
        record.id = "".join(secrets.choice(_KEY_ID_ALPHABET) for _ in range(_KEY_ID_LENGTH))
    return AuthorityKey(record, private)


def restore(message: signer_pb2.KeyedAuthority) -> AuthorityKey:
    """Read an authority back from a sibling's or the key manager's copy.

    Raises:
        ValueError: key, certificate and record don't belong together, or can't be read.
    """
    record = message.authority
    private = serialization.load_der_private_key(message.private_key, password=None)
    if not isinstance(private, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise ValueError(  # noqa: TRY004  (a file's content is wrong, not a caller's type)
            f"the key of {record.slot} is of a kind that authorities don't have"
        )
    if _spki(private) != record.public_key:
        raise ValueError(f"the key of {record.slot} is not the one its record describes")
    if record.kind == signer_pb2.X509:
        certificate = x509.load_der_x509_certificate(record.certificate)
        if certificate.public_key() != private.public_key():
            raise ValueError(f"the certificate of {record.slot} is of another key")
        try:
            certificate.verify_directly_issued_by(certificate)
        except InvalidSignature:
            raise ValueError(f"the certificate of {record.slot} is not as it was made") from None
    return AuthorityKey(record, private)


def _spki(private: PrivateKey) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _key_identifier(private: PrivateKey) -> bytes:
    return x509.SubjectKeyIdentifier.from_public_key(private.public_key()).digest
