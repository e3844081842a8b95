"""The certificate of a downstream server's authority: a CA for a key that lies elsewhere.

As closed as a leaf's template: the trust domain's ID is its only name (X509-SVID sections 2, 3.2),
it signs certificates and revocation lists and nothing else (section 4.3), and nobody but the
signer chooses its subject, which is the issuer's with the organizational unit that SPIRE gives
to servers one level down. `check` reads it back with a parser that nobody here wrote.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.oid import NameOID

from finial.server.signer import der, template
from finial.server.signer.lint import LintError

_UNIT = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "DOWNSTREAM-1")
"""Of servers right below this one, whose own authorities sign themselves."""

_BEFORE_UNIT = frozenset({NameOID.COUNTRY_NAME, NameOID.ORGANIZATION_NAME})

_NO_SIGNATURE = b"\0"

# Bits 5 and 6: keyCertSign, cRLSign; the last one is unused.
_KEY_USAGE = template.extension(
    der.oid("2.5.29.15"), der.tlv(der.BIT_STRING, bytes((1, 0b0000_0110))), critical=True
)
_A_CA = template.extension(der.oid("2.5.29.19"), der.sequence(der.TRUE), critical=True)

_MEANT_USAGE = x509.KeyUsage(
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


@dataclass(frozen=True, slots=True)
class DownstreamCa:
    """Everything that differs between two of them; fields as a Leaf's.

    Attributes:
        issuer: the signing authority's subject.
        trust_domain: bare name.
    """

    serial: bytes
    issuer: x509.Name
    authority_key_identifier: bytes
    algorithm: bytes
    public_key: bytes
    trust_domain: str
    not_before: int
    not_after: int

    @property
    def subject(self) -> x509.Name:
        """The issuer's name, and the unit after its organization."""
        before = [each for each in self.issuer if each.oid in _BEFORE_UNIT]
        after = [each for each in self.issuer if each.oid not in _BEFORE_UNIT]
        return x509.Name([*before, _UNIT, *after])

    @property
    def subject_key_identifier(self) -> bytes:
        """SHA-1 of the key's bits (RFC 5280 section 4.2.1.2, method 1)."""
        return hashlib.sha1(der.key_bits(self.public_key), usedforsecurity=False).digest()


def to_be_signed(ca: DownstreamCa) -> bytes:
    """The TBSCertificate (RFC 5280 section 4.1), DER."""
    key_identifier = der.tlv(der.OCTET_STRING, ca.subject_key_identifier)
    own_id = der.tlv(template.URI, f"spiffe://{ca.trust_domain}".encode())
    extensions = der.sequence(
        _KEY_USAGE,
        _A_CA,
        template.extension(template.SKI, key_identifier),
        template.issuer_key_extension(ca.authority_key_identifier),
        template.extension(template.SAN, der.sequence(own_id)),
    )
    return der.sequence(
        template.VERSION_3,
        der.integer(int.from_bytes(ca.serial, "big")),
        ca.algorithm,
        ca.issuer.public_bytes(),
        der.sequence(der.time(ca.not_before), der.time(ca.not_after)),
        ca.subject.public_bytes(),
        ca.public_key,
        der.tlv(template.EXTENSIONS, extensions),
    )


def check(tbs: bytes, meant: DownstreamCa) -> None:
    """Compare a TBSCertificate with what it is to say.

    Raises:
        LintError: it says something else, or cannot be read.
    """
    unsigned = template.certificate(tbs, meant.algorithm, _NO_SIGNATURE)
    try:
        found = _said(x509.load_der_x509_certificate(unsigned))
    except ValueError as error:
        raise LintError(f"the certificate cannot be read back: {error}") from None
    for what, value in _meant(meant).items():
        if found[what] != value:
            raise LintError(f"{what}: {found[what]!r} where {value!r} was meant")


def _said(certificate: x509.Certificate) -> dict[str, object]:
    return {
        "version": certificate.version,
        "serial": certificate.serial_number,
        "issuer": certificate.issuer.public_bytes(),
        "subject": certificate.subject.public_bytes(),
        "start": certificate.not_valid_before_utc.timestamp(),
        "end": certificate.not_valid_after_utc.timestamp(),
        "public key": certificate.public_key(),
        "extensions": list(certificate.extensions),
    }


def _meant(ca: DownstreamCa) -> dict[str, object]:
    return {
        "version": x509.Version.v3,
        "serial": int.from_bytes(ca.serial, "big"),
        "issuer": ca.issuer.public_bytes(),
        "subject": ca.subject.public_bytes(),
        "start": ca.not_before,
        "end": ca.not_after,
        "public key": load_der_public_key(ca.public_key),
        "extensions": [
            _extension(_MEANT_USAGE, critical=True),
            _extension(x509.BasicConstraints(ca=True, path_length=None), critical=True),
            _extension(x509.SubjectKeyIdentifier(ca.subject_key_identifier)),
            _extension(x509.AuthorityKeyIdentifier(ca.authority_key_identifier, None, None)),
            _extension(
                x509.SubjectAlternativeName(
                    [x509.UniformResourceIdentifier(f"spiffe://{ca.trust_domain}")]
                )
            ),
        ],
    }


def _extension(
    value: x509.ExtensionType, *, critical: bool = False
) -> x509.Extension[x509.ExtensionType]:
    return x509.Extension(value.oid, critical, value)
