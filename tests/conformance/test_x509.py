"""Checklist rows X509-*: validators reject, and the issuing profile (lint) holds."""

from __future__ import annotations

import base64
import json
from typing import Any, Unpack

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from finial.spiffe.bundle import Bundle, BundleSet
from finial.spiffe.errors import BundleError, X509SvidError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.x509_svid import (
    VerifiedX509Svid,
    X509Svid,
    lint_authority,
    lint_leaf,
    verify_chain,
)
from tests.fakes.ca import LEAF_USAGE, NOW, Defects, FakeCa

ID = "spiffe://example.org/a"
NO_SUBJECT = x509.Name([])


def verified(ca: FakeCa, svid: X509Svid) -> VerifiedX509Svid:
    return verify_chain(svid.chain, ca.bundle(), NOW)


def refused(ca: FakeCa, svid: X509Svid, why: str) -> None:
    with pytest.raises(X509SvidError, match=why):
        verified(ca, svid)


def lint(**defects: Unpack[Defects]) -> None:
    ca = FakeCa()
    dns_names = defects.get("dns_names", ())
    leaf = ca.issue(ID, **defects).chain[0]
    lint_leaf(leaf, spiffe_id=SpiffeId(ID), issuer=ca.cert, now=NOW, dns_names=dns_names)


def lint_ca(**defects: Unpack[Defects]) -> None:
    ca = FakeCa(**defects)
    lint_authority(ca.der, trust_domain=ca.trust_domain, now=NOW)


def breaks_profile(why: str, **defects: Unpack[Defects]) -> None:
    with pytest.raises(X509SvidError, match=why):
        lint(**defects)


def ca_breaks_profile(why: str, **defects: Unpack[Defects]) -> None:
    with pytest.raises(X509SvidError, match=why):
        lint_ca(**defects)


def test_X509_01_an_honest_leaf_and_authority_keep_the_profile() -> None:
    lint()
    lint(dns_names=["a.example.org", "b.example.org"])
    lint(subject=NO_SUBJECT)
    lint_ca()


def test_X509_01_a_leaf_with_two_uris_breaks_the_profile() -> None:
    breaks_profile("more than one URI", uris=[ID, "https://x"])


def test_X509_01_a_leaf_with_another_id_than_ordered_breaks_the_profile() -> None:
    breaks_profile("another SPIFFE ID", uris=["spiffe://example.org/b"])


@pytest.mark.parametrize("uris", [[ID, "https://x"], [ID, ID], ["https://x", ID]])
def test_X509_02_more_than_one_uri_is_refused(uris: list[str]) -> None:
    ca = FakeCa()
    refused(ca, ca.issue(ID, uris=uris), "more than one URI SAN")


def test_X509_02_a_leaf_without_a_uri_is_refused() -> None:
    ca = FakeCa()
    refused(ca, ca.issue(ID, uris=[]), "no URI SAN")
    refused(ca, ca.issue(ID, uris=[], dns_names=["example.org"]), "no URI SAN")


def test_X509_03_dns_names_beside_the_uri_are_accepted() -> None:
    ca = FakeCa()
    svid = ca.issue(ID, dns_names=["a.example.org", "b.example.org", "c.example.org"])
    assert verified(ca, svid).id.uri == ID


def test_X509_04_a_leaf_whose_id_has_no_path_is_refused() -> None:
    ca = FakeCa()
    refused(ca, ca.issue("spiffe://example.org"), "no workload's")
    with pytest.raises(X509SvidError, match="has no path"):
        lint_leaf(
            ca.issue("spiffe://example.org").chain[0],
            spiffe_id=ca.trust_domain.id,
            issuer=ca.cert,
            now=NOW,
        )


def test_X509_05_alternative_names_are_critical_exactly_without_a_subject() -> None:
    breaks_profile("criticality", subject=NO_SUBJECT, san_critical=False)
    breaks_profile("criticality", san_critical=True)


def test_X509_06_a_leaf_says_that_it_is_no_ca() -> None:
    breaks_profile("leaf is a CA", ca=True)
    breaks_profile("basicConstraints is missing", basic_constraints=False)
    breaks_profile("basicConstraints is not critical", basic_constraints_critical=False)


@pytest.mark.parametrize("content", ["3003010100", "3003020100", "3006010100020100"])
def test_X509_06_basic_constraints_of_a_leaf_are_an_empty_sequence(content: str) -> None:
    other = x509.UnrecognizedExtension(x509.BasicConstraints.oid, bytes.fromhex(content))
    breaks_profile("not a DER", basic_constraints=False, extra_extensions=[(other, True)])


def test_X509_07_a_signing_certificate_is_a_ca() -> None:
    ca_breaks_profile("not a CA", ca=False)
    ca_breaks_profile("not a CA", basic_constraints=False)
    ca_breaks_profile("not critical", basic_constraints_critical=False)


def test_X509_07_what_is_no_ca_issues_nothing() -> None:
    root = FakeCa(ca=False)
    refused(root, root.issue(ID), "not a CA")
    honest = FakeCa()
    for ca in (honest.intermediate(ca=False), honest.intermediate(basic_constraints=False)):
        refused(honest, ca.issue(ID), "not a CA")


def test_X509_08_a_chain_longer_than_the_path_length_is_refused() -> None:
    root = FakeCa(path_length=0)
    assert verified(root, root.issue(ID)).id.uri == ID
    refused(root, root.intermediate().issue(ID), "path length")
    root = FakeCa(path_length=1)
    assert verified(root, root.intermediate().issue(ID)).id.uri == ID
    refused(root, root.intermediate().intermediate().issue(ID), "path length")


def test_X509_08_the_path_length_of_an_intermediate_counts() -> None:
    root = FakeCa()
    limited = root.intermediate(path_length=0)
    assert verified(root, limited.issue(ID)).id.uri == ID
    refused(root, limited.intermediate().issue(ID), "path length")


def test_X509_09_key_usage_is_present_and_critical() -> None:
    breaks_profile("keyUsage is missing", key_usage=None)
    breaks_profile("keyUsage is not critical", key_usage_critical=False)
    ca_breaks_profile("keyUsage is missing or not critical", key_usage=None)
    ca_breaks_profile("keyUsage is missing or not critical", key_usage_critical=False)


def test_X509_10_a_signing_certificate_may_sign_certificates() -> None:
    ca_breaks_profile("may not sign", key_usage=frozenset({"crl_sign"}))


@pytest.mark.parametrize("place", ["root", "intermediate"])
def test_X509_10_a_ca_that_may_not_sign_certificates_issues_nothing(place: str) -> None:
    only_crls = frozenset({"crl_sign"})
    root = FakeCa(key_usage=only_crls) if place == "root" else FakeCa()
    issuer = root if place == "root" else root.intermediate(key_usage=only_crls)
    refused(root, issuer.issue(ID), "may not sign certificates")


def test_X509_11_a_leaf_may_make_digital_signatures() -> None:
    breaks_profile("lacks digitalSignature", key_usage=frozenset({"key_agreement"}))
    breaks_profile("more than SVIDs use", key_usage=LEAF_USAGE | {"data_encipherment"})


@pytest.mark.parametrize("bit", ["key_cert_sign", "crl_sign"])
def test_X509_12_a_leaf_may_sign_neither_certificates_nor_crls(bit: str) -> None:
    breaks_profile("leaf may sign", key_usage=LEAF_USAGE | {bit})


def test_X509_13_a_leaf_has_an_extended_key_usage() -> None:
    breaks_profile("extKeyUsage is missing", extended_key_usage=None)


@pytest.mark.parametrize(
    "purposes", [[ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.CLIENT_AUTH]]
)
def test_X509_14_the_extended_key_usage_is_both(purposes: list[x509.ObjectIdentifier]) -> None:
    breaks_profile("serverAuth and clientAuth", extended_key_usage=purposes)


def test_X509_15_the_extended_key_usage_of_a_ca_is_not_looked_at() -> None:
    root = FakeCa(extended_key_usage=[ExtendedKeyUsageOID.SERVER_AUTH])
    ca = root.intermediate(extended_key_usage=[ExtendedKeyUsageOID.CODE_SIGNING])
    assert verified(root, ca.issue(ID)).id.uri == ID


def test_X509_16_a_signing_certificate_is_itself_an_svid() -> None:
    ca_breaks_profile("no URI SAN", uris=[])


def test_X509_17_the_id_of_a_signing_certificate_has_no_path() -> None:
    ca_breaks_profile("authority's ID", uris=["spiffe://example.org/ca"])


def test_X509_18_the_id_of_a_signing_certificate_is_of_its_trust_domain() -> None:
    ca_breaks_profile("authority's ID", uris=["spiffe://example.com"])


def test_X509_19_a_signing_certificate_authenticates_nobody() -> None:
    ca = FakeCa()
    for der in (ca.der, ca.intermediate().der, ca.intermediate(uris=[ID]).der):
        with pytest.raises(X509SvidError, match="leaf certificate is a CA"):
            verify_chain([der], ca.bundle(), NOW)


def test_X509_20_a_chain_over_intermediates_in_order_is_accepted() -> None:
    root = FakeCa()
    svid = root.intermediate().intermediate().issue(ID)
    assert len(svid.chain) == 3
    found = verified(root, svid)
    assert (found.id.uri, found.serial, found.root_der) == (ID, svid.serial, root.der)


@pytest.mark.parametrize("place", ["leaf", "intermediate", "root"])
@pytest.mark.parametrize(
    ("window", "why"),
    [
        (Defects(not_before=NOW - 100, not_after=NOW - 1), "expired"),
        (Defects(not_before=NOW + 1, not_after=NOW + 100), "not yet valid"),
    ],
)
def test_X509_20_a_certificate_out_of_its_time_is_refused(
    place: str, window: Defects, why: str
) -> None:
    root = FakeCa(**window) if place == "root" else FakeCa()
    ca = root.intermediate(**window) if place == "intermediate" else root
    refused(root, ca.issue(ID, **window) if place == "leaf" else ca.issue(ID), why)


def test_X509_20_both_ends_of_the_validity_are_inside() -> None:
    ca = FakeCa()
    svid = ca.issue(ID, not_before=NOW - 5, not_after=NOW + 5)
    for now in (NOW - 5, NOW, NOW + 5):
        assert verify_chain(svid.chain, ca.bundle(), now).not_after == NOW + 5
    for now in (NOW - 5.1, NOW + 5.1):
        with pytest.raises(X509SvidError):
            verify_chain(svid.chain, ca.bundle(), now)


def test_X509_20_a_leaf_by_another_issuer_is_refused() -> None:
    stranger = FakeCa(subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")]))
    refused(FakeCa(), stranger.issue(ID), "unknown authority")


def test_X509_20_a_leaf_by_another_issuer_of_the_same_name_is_refused() -> None:
    refused(FakeCa(), FakeCa().issue(ID), "signature is invalid")


def test_X509_20_a_missing_intermediate_is_not_made_up() -> None:
    root = FakeCa()
    svid = root.intermediate().issue(ID)
    with pytest.raises(X509SvidError, match="unknown authority"):
        verify_chain(svid.chain[:1], root.bundle(), NOW)


@pytest.mark.parametrize("place", ["leaf", "intermediate"])
def test_X509_20_a_broken_signature_is_refused(place: str) -> None:
    root = FakeCa()
    ca = root.intermediate(broken_signature=place == "intermediate")
    refused(root, ca.issue(ID, broken_signature=place == "leaf"), "signature is invalid")


@pytest.mark.parametrize("place", ["leaf", "intermediate", "root"])
@pytest.mark.parametrize("critical", [True, False])
def test_X509_20_an_unknown_extension_is_refused_when_critical(place: str, critical: bool) -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    extra = Defects(extra_extensions=[(unknown, critical)])
    root = FakeCa(**extra) if place == "root" else FakeCa()
    ca = root.intermediate(**extra) if place == "intermediate" else root
    svid = ca.issue(ID, **extra) if place == "leaf" else ca.issue(ID)
    if critical:
        refused(root, svid, "unknown critical extension 1.3.6.1.4.1.99999.1")
    else:
        assert verified(root, svid).id.uri == ID


def test_X509_21_a_leaf_that_is_a_ca_is_refused() -> None:
    ca = FakeCa()
    refused(ca, ca.issue(ID, ca=True), "leaf certificate is a CA")


def test_X509_22_a_leaf_that_may_sign_certificates_is_refused() -> None:
    ca = FakeCa()
    refused(ca, ca.issue(ID, key_usage=LEAF_USAGE | {"key_cert_sign"}), "may sign certificates")


def test_X509_22_a_leaf_that_may_sign_crls_is_refused() -> None:
    ca = FakeCa()
    refused(ca, ca.issue(ID, key_usage=LEAF_USAGE | {"crl_sign"}), "may sign CRLs")


@pytest.mark.parametrize(
    "uri", ["https://example.org/a", "SPIFFE://example.org/a", "spiffe://example.org/a/", "spiffe:"]
)
def test_X509_23_a_uri_that_is_no_spiffe_id_is_refused(uri: str) -> None:
    ca = FakeCa()
    refused(ca, ca.issue(ID, uris=[uri]), "invalid SPIFFE ID")


@pytest.mark.parametrize("place", ["root", "intermediate"])
@pytest.mark.parametrize("critical", [True, False])
def test_X509_24_uri_name_constraints_bind_the_trust_domain(place: str, critical: bool) -> None:
    def svid(permitted: str) -> tuple[FakeCa, X509Svid]:
        name = x509.UniformResourceIdentifier(permitted)
        extra = Defects(extra_extensions=[(x509.NameConstraints([name], None), critical)])
        root = FakeCa(**extra) if place == "root" else FakeCa()
        ca = root if place == "root" else root.intermediate(**extra)
        return root, ca.issue(ID)

    assert verified(*svid("example.org")).id.uri == ID
    refused(*svid("example.com"), "not permitted")


def jwk_of(ca: FakeCa, **changes: Any) -> dict[str, Any]:
    """The X.509 entry that a bundle of the CA has, with members changed; None leaves one out."""
    jwk = json.loads(ca.bundle().to_jwks())["keys"][0] | changes
    return {name: value for name, value in jwk.items() if value is not None}


def bundle_of(*jwks: dict[str, Any]) -> Bundle:
    return Bundle.from_jwks(TrustDomain("example.org"), json.dumps({"keys": jwks}).encode())


def test_X509_25_to_27_a_published_entry_has_use_one_x5c_and_no_kid() -> None:
    ca = FakeCa()
    jwk = jwk_of(ca)
    assert jwk["use"] == "x509-svid"  # X509-25
    assert "kid" not in jwk  # X509-26
    assert [base64.b64decode(x5c, validate=True) for x5c in jwk["x5c"]] == [ca.der]  # X509-27


def test_X509_27_a_certificate_that_is_no_ca_is_not_published() -> None:
    with pytest.raises(BundleError, match="not a CA"):
        FakeCa(ca=False).bundle().to_jwks()


def test_X509_28_an_authority_that_is_not_self_signed_breaks_the_profile() -> None:
    root = FakeCa()
    child = root.intermediate()
    with pytest.raises(X509SvidError, match="not self-signed"):
        lint_authority(child.der, trust_domain=root.trust_domain, now=NOW)
    lint_authority(child.der, trust_domain=root.trust_domain, now=NOW, issuer=root.cert)


@pytest.mark.parametrize("x5c", [None, [], [1], "x", {}])
def test_X509_29_an_entry_without_certificate_is_passed_over(x5c: object) -> None:
    good = FakeCa()
    bundle = bundle_of(jwk_of(FakeCa(), x5c=x5c), jwk_of(good))
    assert verify_chain(good.issue(ID).chain, bundle, NOW).id.uri == ID
    assert len(bundle.x509_authorities) == 1


def test_X509_29_of_several_certificates_only_the_first_is_an_anchor() -> None:
    first, second = FakeCa(), FakeCa()
    x5c = [base64.b64encode(ca.der).decode() for ca in (first, second)]
    bundle = bundle_of(jwk_of(first, x5c=x5c))
    assert verify_chain(first.issue(ID).chain, bundle, NOW).id.uri == ID
    with pytest.raises(X509SvidError):
        verify_chain(second.issue(ID).chain, bundle, NOW)


def test_X509_30_the_authorities_are_the_union_of_the_entries() -> None:
    first, second = FakeCa(), FakeCa()
    bundle = bundle_of(jwk_of(first), jwk_of(second))
    for ca in (first, second):
        assert verify_chain(ca.issue(ID).chain, bundle, NOW).root_der == ca.der


def test_X509_30_a_bundle_of_jwt_keys_trusts_no_x509_svid() -> None:
    ca = FakeCa()
    jwt_only = Bundle(ca.trust_domain, jwt_authorities=ca.bundle().jwt_authorities)
    with pytest.raises(X509SvidError, match=r"no X\.509 authorities"):
        verify_chain(ca.issue(ID).chain, jwt_only, NOW)


def test_X509_31_another_trust_domains_ca_proves_no_id_of_ours() -> None:
    ours, theirs = FakeCa("example.org"), FakeCa("example.com")
    lie = theirs.issue(ID)
    for bundles in (ours.bundles(theirs), theirs.bundles(ours)):
        with pytest.raises(X509SvidError, match=r"unknown authority"):
            verify_chain(lie.chain, bundles, NOW)


def test_X509_31_a_trust_domain_whose_bundle_is_not_known_is_not_trusted() -> None:
    theirs = FakeCa("example.com")
    with pytest.raises(
        X509SvidError, match=r'no X\.509 bundle found for trust domain "example\.org"'
    ):
        verify_chain(theirs.issue(ID).chain, theirs.bundle(), NOW)


def test_X509_31_a_source_that_answers_with_another_domains_bundle_is_not_believed() -> None:
    theirs = FakeCa("example.com")

    class Careless(BundleSet):
        def bundle_for(self, trust_domain: TrustDomain) -> Bundle | None:  # noqa: ARG002
            return theirs.bundle()

    with pytest.raises(X509SvidError, match=r"no X\.509 bundle found"):
        verify_chain(theirs.issue(ID).chain, Careless(), NOW)
