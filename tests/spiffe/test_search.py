"""The search for a path: which signatures are tried, in which order, and how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from finial.spiffe.errors import X509SvidError
from finial.spiffe.x509_svid import verify_chain
from finial.spiffe.x509_svid.path import check_certificate
from tests.fakes.ca import NOW, Defects, FakeCa

if TYPE_CHECKING:
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.trust_domain import TrustDomain

ID = "spiffe://example.org/a"


def bundle_ending_with(ca: FakeCa, strangers: list[FakeCa]) -> Bundle:
    """All of one name; what is tried first, when nothing tells them apart, is what comes first."""
    return strangers[0].bundle(*strangers[1:], ca)


def test_sixteen_signatures_are_verified_and_no_more() -> None:
    ca, strangers = FakeCa(), [FakeCa() for _ in range(16)]
    chain = ca.issue(ID, authority_key_id=None).chain
    found = verify_chain(chain, bundle_ending_with(ca, strangers[:15]), NOW)
    assert found.root_der == ca.der
    with pytest.raises(X509SvidError, match="too many signatures"):
        verify_chain(chain, bundle_ending_with(ca, strangers), NOW)


def test_the_issuer_that_the_key_identifier_names_is_tried_first() -> None:
    """So that a large bundle of one name costs one signature, wherever the issuer stands in it."""
    ca = FakeCa()
    for key_id in (b"\x00", b"\xff" * 20):
        strangers = [FakeCa(subject_key_id=key_id + bytes([n])) for n in range(20)]
        found = verify_chain(ca.issue(ID).chain, bundle_ending_with(ca, strangers), NOW)
        assert found.root_der == ca.der


def test_intermediates_too_are_tried_in_the_order_of_their_key_identifiers() -> None:
    root = FakeCa()
    ca = root.intermediate()
    strangers = [
        FakeCa(subject=ca.cert.subject, subject_key_id=bytes([n]) * 20).der
        for n in (0, 1, 2, 3, 252, 253, 254, 255)
    ]
    leaf = ca.issue(ID).chain[0]
    assert verify_chain([leaf, *strangers, ca.der], root.bundle(), NOW).root_der == root.der


def test_an_intermediate_that_leads_nowhere_does_not_end_the_search() -> None:
    """Two certificates of one CA, key and name: by a stranger, and by the root (RFC 4158)."""
    root, stranger = FakeCa(), FakeCa(subject=named("stranger"))
    key, name = ec.generate_private_key(ec.SECP256R1()), named("ca")
    dead_end = stranger.intermediate(key=key, subject=name)
    ca = root.intermediate(key=key, subject=name)
    leaf = ca.issue(ID).chain[0]
    for order in ([dead_end.der, ca.der], [ca.der, dead_end.der]):
        assert verify_chain([leaf, *order], root.bundle(), NOW).root_der == root.der
    with pytest.raises(X509SvidError, match="unknown authority"):
        verify_chain([leaf, dead_end.der], root.bundle(), NOW)


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def test_a_ca_that_renewed_its_own_key_does_not_count_for_path_length() -> None:
    """RFC 5280 section 4.2.1.9: self-issued certificates are left out of the count."""
    root = FakeCa(path_length=0)
    successor = root.intermediate(subject=root.cert.subject)
    assert verify_chain(successor.issue(ID).chain, root.bundle(), NOW).root_der == root.der
    other = root.intermediate()
    with pytest.raises(X509SvidError, match="path length"):
        verify_chain(other.issue(ID).chain, root.bundle(), NOW)


@pytest.mark.parametrize("intermediates", [0, 1, 2])
def test_a_path_may_be_shorter_than_its_greatest_length(intermediates: int) -> None:
    root = FakeCa(path_length=2)
    ca = root
    for _ in range(intermediates):
        ca = ca.intermediate()
    assert verify_chain(ca.issue(ID).chain, root.bundle(), NOW).root_der == root.der


def test_a_path_length_counts_the_cas_between_and_not_the_leaf() -> None:
    root = FakeCa(path_length=1)
    ca = root.intermediate()
    assert verify_chain(ca.issue(ID).chain, root.bundle(), NOW).root_der == root.der
    with pytest.raises(X509SvidError, match="path length"):
        verify_chain(ca.intermediate().issue(ID).chain, root.bundle(), NOW)


@pytest.mark.parametrize("place", ["leaf", "intermediate", "root"])
def test_both_ends_of_each_validity_belong_to_it(place: str) -> None:
    begins, ends = NOW - 60, NOW + 60
    span = {
        where: Defects(not_before=begins, not_after=ends)
        if where == place
        else Defects(not_before=begins - 9, not_after=ends + 9)
        for where in ("leaf", "intermediate", "root")
    }
    root = FakeCa(**span["root"])
    chain = root.intermediate(**span["intermediate"]).issue(ID, **span["leaf"]).chain
    for now in (begins, ends):
        assert verify_chain(chain, root.bundle(), now).id.uri == ID
    with pytest.raises(X509SvidError, match="not yet valid"):
        verify_chain(chain, root.bundle(), begins - 0.5)
    with pytest.raises(X509SvidError, match="expired"):
        verify_chain(chain, root.bundle(), ends + 0.5)


def test_an_authority_without_key_usage_may_sign_and_a_leaf_without_may_be_one() -> None:
    """RFC 5280 section 4.2.1.3: without the extension the key is for everything."""
    root = FakeCa(key_usage=None)
    chain = root.intermediate(key_usage=None).issue(ID, key_usage=None).chain
    assert verify_chain(chain, root.bundle(), NOW).id.uri == ID


def test_an_authority_without_basic_constraints_is_none() -> None:
    root = FakeCa()
    for ca in (root.intermediate(basic_constraints=False), root.intermediate(ca=False)):
        with pytest.raises(X509SvidError, match="not a CA"):
            verify_chain(ca.issue(ID).chain, root.bundle(), NOW)


class Liar:
    """A source that answers with the same bundle whatever it is asked for."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def bundle_for(self, _: TrustDomain) -> Bundle:
        return self._bundle


@pytest.mark.parametrize("domain", ["aaa.test", "example.org.test", "zzz.test"])
def test_another_trust_domains_bundle_proves_nothing_whatever_its_name(domain: str) -> None:
    ca, foreign = FakeCa(), FakeCa(domain)
    chain = foreign.issue(ID).chain
    with pytest.raises(X509SvidError, match="no X.509 bundle found"):  # noqa: RUF043
        verify_chain(chain, Liar(foreign.bundle()), NOW)
    assert verify_chain(ca.issue(ID).chain, Liar(ca.bundle()), NOW).id.uri == ID


def test_a_critical_extension_is_named_when_it_is_not_understood() -> None:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"")
    ca = FakeCa()
    cert = x509.load_der_x509_certificate(
        ca.issue(ID, extra_extensions=[(extension, False)]).chain[0]
    )
    check_certificate(cert, NOW)
    critical = ca.issue(ID, extra_extensions=[(extension, True)]).chain[0]
    with pytest.raises(X509SvidError, match=r"unknown critical extension 1\.2\.3\.4"):
        check_certificate(x509.load_der_x509_certificate(critical), NOW)


def test_a_signature_algorithm_that_nobody_knows_is_refused_as_such() -> None:
    ca = FakeCa()
    known, unknown = (bytes.fromhex(f"06082a8648ce3d0403{n:02x}") for n in (2, 0x7F))
    leaf = ca.issue(ID).chain[0].replace(known, unknown)
    with pytest.raises(X509SvidError, match="signature algorithm is unknown"):
        verify_chain([leaf], ca.bundle(), NOW)


def test_a_signature_without_a_hash_is_only_taken_from_an_ed25519_key() -> None:
    ca = FakeCa()
    forged = ca.issue(ID, signing_key=ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(X509SvidError, match="signature algorithm is not accepted"):
        verify_chain(forged.chain, ca.bundle(), NOW)
