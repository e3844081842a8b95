"""Asking one certificate, also one that lacks what is asked for."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from finial.spiffe import certificate
from finial.spiffe.certificate import Validity
from tests.fakes.ca import FakeCa

ID = "spiffe://example.org/a"


@pytest.mark.parametrize(
    ("now", "valid"), [(99.9, False), (100, True), (150, True), (200, True), (200.1, False)]
)
def test_both_ends_of_a_validity_belong_to_it(now: float, valid: bool) -> None:
    assert Validity(100, 200).covers(now) is valid


def test_a_certificate_without_extensions_is_a_certificate() -> None:
    ca = FakeCa()
    der = ca.issue(
        ID,
        uris=[],
        basic_constraints=False,
        key_usage=None,
        extended_key_usage=None,
        authority_key_id=None,
        subject_key_id=None,
    ).chain[0]
    cert = certificate.load(der)
    assert certificate.uris_of(cert) == []
    assert certificate.subject_key_id(cert) == certificate.authority_key_id(cert) == b""
    assert not certificate.is_ca(cert)
    assert certificate.extension(cert, x509.KeyUsage) is None


def test_key_identifiers_are_as_they_stand() -> None:
    ca = FakeCa(subject_key_id=b"root")
    cert = certificate.load(ca.issue(ID, authority_key_id=b"root", subject_key_id=b"leaf").chain[0])
    assert certificate.authority_key_id(cert) == b"root"
    assert certificate.subject_key_id(cert) == b"leaf"


def test_an_issuer_named_in_another_way_than_by_its_key_has_no_key_identifier() -> None:
    """RFC 5280 section 4.2.1.1: name and serial number instead."""
    ca = FakeCa()
    by_name = x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(ca.cert.subject)], 7)
    der = ca.issue(ID, authority_key_id=None, extra_extensions=[(by_name, False)]).chain[0]
    assert certificate.authority_key_id(certificate.load(der)) == b""


def test_only_uris_are_uris() -> None:
    ca = FakeCa()
    cert = certificate.load(ca.issue(ID, dns_names=["a.org"], uris=[ID, "https://a.org"]).chain[0])
    assert certificate.uris_of(cert) == [ID, "https://a.org"]


def test_a_key_that_the_library_cannot_read_is_refused() -> None:
    """On brainpoolP512t1 instead of P-256; the identifiers are not of one length."""
    key = ec.generate_private_key(ec.SECP256R1())
    ca = FakeCa()
    der = ca.issue(ID, key=key).chain[0]
    curve = bytes.fromhex("06082a8648ce3d030107")
    assert key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) in der
    other = bytes.fromhex("06082a8648ce3d03017f")
    cert = x509.load_der_x509_certificate(der.replace(curve, other, 1))
    with pytest.raises(ValueError, match="^public key is not readable$"):  # noqa: RUF043
        certificate.key_of(cert)


def test_a_count_of_unused_bits_before_the_signature_is_refused() -> None:
    """Nothing signs that count, and the library passes over one that the bits allow."""
    ca = FakeCa()
    issued = (ca.issue(ID).chain[0] for _ in range(200))
    der = next(der for der in issued if der[-1] % 2 == 0)
    place = len(der) - len(certificate.load(der).signature) - 1
    assert der[place] == 0
    changed = der[:place] + b"\x01" + der[place + 1 :]
    x509.load_der_x509_certificate(changed)
    with pytest.raises(ValueError, match="not a DER certificate"):
        certificate.load(changed)
