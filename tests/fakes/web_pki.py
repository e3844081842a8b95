"""The Web's PKI in small: one authority, and certificates for names, valid by the machine's clock.

OpenSSL judges these, and it has no other clock.
"""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import NameOID

from finial.runtime.rpc import TlsIdentity

if TYPE_CHECKING:
    from pathlib import Path

_DAY = dt.timedelta(days=1)


class WebPki:
    """An authority; `trusted` writes it where SSL_CERT_FILE may point."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("root")
        self.root = (
            _certificate(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def trusted(self, folder: Path) -> Path:
        path = folder / "roots.pem"
        path.write_bytes(self.root.public_bytes(Encoding.PEM))
        return path

    def issue(
        self, *names: str, common_name: str = "leaf", expired: bool = False, is_rsa: bool = False
    ) -> TlsIdentity:
        """A certificate for DNS names and addresses."""
        key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = (
            rsa.generate_private_key(65537, 2048)
            if is_rsa
            else ec.generate_private_key(ec.SECP256R1())
        )
        builder = _certificate(
            _name(common_name), self._name, key.public_key(), ends=-_DAY / 2 if expired else _DAY
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        leaf = builder.sign(self._key, hashes.SHA256())
        pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return TlsIdentity((leaf.public_bytes(Encoding.DER),), pkcs8)


def write_pair(identity: TlsIdentity, chain: Path, key: Path) -> None:
    """Write an identity as the two PEM files that a server reads."""
    certs = (x509.load_der_x509_certificate(der) for der in identity.chain_der)
    chain.write_bytes(b"".join(cert.public_bytes(Encoding.PEM) for cert in certs))
    private = load_der_private_key(identity.key_pkcs8, None)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    ends: dt.timedelta = _DAY,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + ends)
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
