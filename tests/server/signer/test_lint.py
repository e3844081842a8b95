"""The linter stops a certificate that isn't the one that was meant."""

import dataclasses

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from finial.server.signer import der, template
from finial.server.signer.lint import LintError, lint
from tests.server.signer.test_template import NOW, golden, leaf

MEANT = leaf(dns_names=("web.example.org",), common_name="web")


def test_the_certificate_that_was_meant_passes() -> None:
    lint(template.to_be_signed(MEANT), MEANT)


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("serial", b"\x01" * 16),
        ("spiffe_id", "spiffe://example.org/admin"),
        ("dns_names", ("web.example.org", "other.example.org")),
        ("dns_names", ()),
        ("common_name", ""),
        ("common_name", "admin"),
        ("not_before", NOW - 11),
        ("not_after", NOW + 3601),
        ("authority_key_identifier", b"\x02" * 20),
        ("public_key", leaf(subject_key="P-384").public_key),
        ("issuer", der.sequence()),
    ],
)
def test_a_field_that_differs_is_found(field: str, other: object) -> None:
    built = dataclasses.replace(MEANT, **{field: other})  # type: ignore[arg-type]
    with pytest.raises(LintError, match="was meant"):
        lint(template.to_be_signed(built), MEANT)


def usages(*names: str) -> x509.KeyUsage:
    bits = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    more = ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{bit: bit in names for bit in (*bits, *more)})


WEB = x509.DNSName("web.example.org")
URI = x509.UniformResourceIdentifier(MEANT.spiffe_id)
OTHER_URI = x509.UniformResourceIdentifier("spiffe://example.org/admin")
ALLOWED = ("digital_signature", "key_encipherment", "key_agreement")
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@pytest.mark.parametrize(
    ("lie", "critical"),
    [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (x509.BasicConstraints(ca=False, path_length=None), False),
        (usages(*ALLOWED, "key_cert_sign"), True),
        (usages(*ALLOWED, "crl_sign"), True),
        (usages("key_agreement"), True),
        (usages(*ALLOWED), False),
        (x509.ExtendedKeyUsage([SERVER]), False),
        (x509.ExtendedKeyUsage([SERVER, CLIENT, ExtendedKeyUsageOID.CODE_SIGNING]), False),
        (x509.SubjectKeyIdentifier(b"1" * 20), False),
        (x509.AuthorityKeyIdentifier(b"1" * 20, None, None), False),
        (x509.SubjectAlternativeName([WEB, URI, OTHER_URI]), False),
        (x509.SubjectAlternativeName([WEB, OTHER_URI]), False),
        (x509.SubjectAlternativeName([WEB]), False),
        (x509.SubjectAlternativeName([URI]), False),
        (x509.SubjectAlternativeName([URI, WEB]), False),
        (x509.SubjectAlternativeName([WEB, x509.DNSName(MEANT.spiffe_id)]), False),
        (x509.SubjectAlternativeName([WEB, URI]), True),
    ],
    ids=str,
)
def test_an_extension_that_differs_is_found(lie: x509.ExtensionType, critical: bool) -> None:
    built = golden(MEANT, instead=(lie, critical))
    with pytest.raises(LintError, match="was meant"):
        lint(built.tbs_certificate_bytes, MEANT)


def test_the_builders_honest_certificate_passes() -> None:
    lint(golden(MEANT).tbs_certificate_bytes, MEANT)


def test_an_extension_more_is_found() -> None:
    tbs = template.to_be_signed(MEANT)
    _, start, end = der.read(tbs)
    at = start
    while tbs[at] != 0xA3:  # the last field holds the extensions
        at = der.read(tbs, at)[2]
    _, wrapped, _ = der.read(tbs, at)
    _, inner, _ = der.read(tbs, wrapped)
    extra = der.sequence(der.oid("1.3.6.1.4.1.99999.1"), der.tlv(der.OCTET_STRING, der.NULL))
    more = der.tlv(0xA3, der.sequence(tbs[inner:end], extra))
    with pytest.raises(LintError, match="was meant"):
        lint(der.sequence(tbs[start:at], more), MEANT)


def test_what_cannot_be_parsed_is_no_certificate() -> None:
    with pytest.raises(LintError, match="read back"):
        lint(der.sequence(der.integer(1)), MEANT)
