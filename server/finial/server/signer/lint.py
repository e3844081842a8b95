"""The check between building a certificate and signing it.

The certificate, with an empty signature, is read back by the cryptography package and compared
with what was meant. A mistake of the template's, or of a name that slipped through, ends here as
a refused request and not as a certificate.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from finial.server.signer import der, template

if TYPE_CHECKING:
    from finial.server.signer.template import Leaf

_NO_SIGNATURE = b"\0"
_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=True,
    data_encipherment=False,
    key_agreement=True,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_EXTENDED_KEY_USAGE = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)
_NOT_A_CA = x509.BasicConstraints(ca=False, path_length=None)
_FIXED = [
    x509.Extension(_KEY_USAGE.oid, critical=True, value=_KEY_USAGE),  # X509-SVID 4.3
    x509.Extension(_EXTENDED_KEY_USAGE.oid, critical=False, value=_EXTENDED_KEY_USAGE),  # 4.4
    x509.Extension(_NOT_A_CA.oid, critical=True, value=_NOT_A_CA),  # X509-SVID 4.1
]
_SUBJECT = [(NameOID.COUNTRY_NAME, "US"), (NameOID.ORGANIZATION_NAME, "SPIRE")]
_VARIABLE = [
    (ExtensionOID.SUBJECT_KEY_IDENTIFIER, False),
    (ExtensionOID.AUTHORITY_KEY_IDENTIFIER, False),
    (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, False),
]


class LintError(Exception):
    """A certificate about to be signed is not the one that was meant."""


def lint(tbs: bytes, leaf: Leaf) -> None:
    """Compare a TBSCertificate with what it is to say.

    Raises:
        LintError: it says something else, or cannot be read.
    """
    unsigned = template.certificate(tbs, leaf.algorithm, _NO_SIGNATURE)
    try:
        certificate = x509.load_der_x509_certificate(unsigned)
        _check_fields(certificate, leaf)
        _check_extensions(list(certificate.extensions), leaf)
    except ValueError as error:
        raise LintError(f"the certificate cannot be read back: {error}") from None
    _check_bytes(tbs, leaf)


def _check_fields(certificate: x509.Certificate, leaf: Leaf) -> None:
    _same("version", certificate.version, x509.Version.v3)
    _same("serial", certificate.serial_number, int.from_bytes(leaf.serial, "big"))
    _same("start", certificate.not_valid_before_utc.timestamp(), leaf.not_before)
    _same("end", certificate.not_valid_after_utc.timestamp(), leaf.not_after)


def _check_bytes(tbs: bytes, leaf: Leaf) -> None:
    """The fields that are not to differ by a byte; reading names and keys would cost a third more.

    An issuer that is the same name in another encoding does not chain (RFC 5280 section 7.1).
    """
    at, end = der.read(tbs)[1:]
    fields = []
    while at < end:
        start, at = at, der.read(tbs, at)[2]
        fields.append(tbs[start:at])
    _version, _serial, algorithm, issuer, _validity, subject, public_key, _extensions = fields
    _same("algorithm", algorithm, leaf.algorithm)
    _same("issuer", issuer, leaf.issuer)
    _same("subject", subject, _subject(leaf.common_name))
    _same("public key", public_key, leaf.public_key)


@lru_cache(maxsize=1024)
def _subject(common_name: str) -> bytes:
    """The subject as the cryptography package would write it."""
    named = [(NameOID.COMMON_NAME, common_name)] if common_name else []
    return x509.Name(x509.NameAttribute(*each) for each in _SUBJECT + named).public_bytes()


def _check_extensions(extensions: list[x509.Extension[x509.ExtensionType]], leaf: Leaf) -> None:
    """All extensions, in their order: one more, or one twice, is a difference, too."""
    fixed, variable = extensions[:3], extensions[3:]
    _same("key usages and basic constraints", fixed, _FIXED)
    _same("kinds of extension", [(each.oid, each.critical) for each in variable], _VARIABLE)
    own, issuers, names = (each.value for each in variable)
    identifiers = (getattr(own, "digest", b""), getattr(issuers, "key_identifier", b""))
    meant = (leaf.subject_key_identifier, leaf.authority_key_identifier)
    _same("key identifiers", identifiers, meant)
    found = list(names) if isinstance(names, x509.SubjectAlternativeName) else []
    _same("names (X509-SVID 2)", [(type(name), name.value) for name in found], _names(leaf))


def _names(leaf: Leaf) -> list[tuple[type[x509.GeneralName], str]]:
    """All names in their order: a second URI could hide nowhere (X509-SVID section 2)."""
    names: list[tuple[type[x509.GeneralName], str]] = [(x509.DNSName, n) for n in leaf.dns_names]
    return [*names, (x509.UniformResourceIdentifier, leaf.spiffe_id)]


def _same(what: str, found: object, meant: object) -> None:
    if found != meant:
        raise LintError(f"{what}: {found!r} where {meant!r} was meant")
