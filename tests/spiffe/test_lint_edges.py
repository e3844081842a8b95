"""The issuing profile at its edges: each rule holds to both sides of what it allows."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Unpack

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from finial.spiffe.errors import X509SvidError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import lint_authority, lint_leaf
from tests.fakes.ca import LEAF_USAGE, NOW, Defects, FakeCa

if TYPE_CHECKING:
    from collections.abc import Sequence

ID = SpiffeId("spiffe://example.org/a")
EMPTY = x509.Name([])


def lint(ordered: Sequence[str] = (), /, **defects: Unpack[Defects]) -> None:
    ca = FakeCa()
    leaf = ca.issue(ID, **defects).chain[0]
    lint_leaf(leaf, spiffe_id=ID, issuer=ca.cert, now=NOW, dns_names=ordered)


def breaks(why: str, ordered: Sequence[str] = (), /, **defects: Unpack[Defects]) -> None:
    with pytest.raises(X509SvidError, match=why):
        lint(ordered, **defects)


def breaks_authority(why: str, **defects: Unpack[Defects]) -> None:
    ca = FakeCa(**defects)
    with pytest.raises(X509SvidError, match=why):
        lint_authority(ca.der, trust_domain=ca.trust_domain, now=NOW)


def test_the_dns_names_are_those_that_were_ordered_in_order() -> None:
    many = [f"host-{number}.org" for number in range(300)]
    for names in (["a.org"], ["a.org", "b.org"], ["a.org", "b.org", "c.org"], many):
        lint(names, dns_names=names)
    for found in ([], ["a.org"], ["b.org", "a.org"], ["a.org", "b.org", "c.org"], ["a.org", "c"]):
        breaks("other DNS names", ["a.org", "b.org"], dns_names=found)


def test_the_alternative_name_is_critical_exactly_when_there_is_no_subject() -> None:
    lint(subject=EMPTY)
    breaks("wrong criticality", subject=EMPTY, san_critical=False)
    breaks("wrong criticality", san_critical=True)


def test_the_purposes_are_both_and_no_other() -> None:
    server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
    lint(extended_key_usage=[client, server])
    for purposes in ([server], [client], [server, client, ExtendedKeyUsageOID.CODE_SIGNING]):
        breaks("extKeyUsage is not serverAuth and clientAuth", extended_key_usage=purposes)
    breaks("extKeyUsage is missing", extended_key_usage=None)


@pytest.mark.parametrize(
    ("usage", "why"),
    [
        ("key_cert_sign", "leaf may sign"),
        ("crl_sign", "leaf may sign"),
        ("content_commitment", "more than SVIDs use"),
        ("data_encipherment", "more than SVIDs use"),
    ],
)
def test_a_leafs_key_has_no_use_beyond_an_svids(usage: str, why: str) -> None:
    breaks(why, key_usage=LEAF_USAGE | {usage})


def test_a_leafs_key_signs() -> None:
    lint(key_usage=frozenset({"digital_signature"}))
    breaks("digitalSignature", key_usage=frozenset({"key_agreement"}))
    breaks("keyUsage is not critical", key_usage_critical=False)
    breaks("keyUsage is missing", key_usage=None)


def test_a_leaf_says_that_it_is_no_ca() -> None:
    breaks("basicConstraints is missing", basic_constraints=False)
    breaks("basicConstraints is not critical", basic_constraints_critical=False)
    breaks("leaf is a CA", ca=True)


def test_the_issuers_key_identifier_is_the_issuers() -> None:
    for key_id in (b"", b"\x00", b"\xff" * 20, b"\xff" * 21):
        breaks("authorityKeyIdentifier is not", authority_key_id=key_id)


def test_a_leaf_may_end_with_its_issuer_and_not_a_second_later() -> None:
    ca = FakeCa(not_after=NOW + 100)
    for ends, good in ((99, True), (100, True), (101, False)):
        leaf = ca.issue(ID, not_after=NOW + ends).chain[0]
        if good:
            lint_leaf(leaf, spiffe_id=ID, issuer=ca.cert, now=NOW)
            continue
        with pytest.raises(X509SvidError, match="outlives its issuer"):
            lint_leaf(leaf, spiffe_id=ID, issuer=ca.cert, now=NOW)


def with_serial(der: bytes, octets: bytes) -> bytes:
    """The certificate with 21 octets of serial number in place of its twenty."""
    start = der.index(b"\x02\x14")
    longer = der[:start] + b"\x02\x15" + octets + der[start + 22 :]
    sizes = [int.from_bytes(longer[at : at + 2], "big") + 1 for at in (2, 6)]
    outer, inner = (size.to_bytes(2, "big") for size in sizes)
    return longer[:2] + outer + longer[4:6] + inner + longer[8:]


def test_a_serial_number_is_positive_and_fits_twenty_octets() -> None:
    ca = FakeCa()
    for serial in (1, (1 << 159) - 1):
        leaf = ca.issue(ID, serial=serial).chain[0]
        lint_leaf(leaf, spiffe_id=ID, issuer=ca.cert, now=NOW)
    too_long = with_serial(leaf, (1 << 159).to_bytes(21, "big"))
    with pytest.raises(X509SvidError, match="serial number is out of range"):
        lint_leaf(too_long, spiffe_id=ID, issuer=ca.cert, now=NOW)


@pytest.mark.parametrize("first", [0x00, 0x80, 0xFF], ids=["zero", "negative", "minus one"])
def test_a_serial_number_that_is_not_positive_is_out_of_range(first: int) -> None:
    """Also where warnings are no errors, as in a server: there the library takes it."""
    ca = FakeCa()
    leaf = ca.issue(ID, serial=1).chain[0]
    changed = leaf.replace(b"\x02\x01\x01", bytes([2, 1, first]), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(X509SvidError, match="serial number is out of range"):
            lint_leaf(changed, spiffe_id=ID, issuer=ca.cert, now=NOW)


def test_neither_key_identifier_is_critical() -> None:
    ca = FakeCa()
    digest = x509.SubjectKeyIdentifier.from_public_key(ca.key.public_key()).digest
    issuers = x509.AuthorityKeyIdentifier(digest, None, None)
    breaks("subjectKeyIdentifier", subject_key_id=b"")
    leaf = ca.issue(ID, authority_key_id=None, extra_extensions=[(issuers, True)]).chain[0]
    with pytest.raises(X509SvidError, match="a key identifier is critical"):
        lint_leaf(leaf, spiffe_id=ID, issuer=ca.cert, now=NOW)


def test_an_authority_says_that_it_is_one() -> None:
    breaks_authority("authority is not a CA", ca=False)
    breaks_authority("authority is not a CA", basic_constraints=False)
    breaks_authority("basicConstraints is not critical", basic_constraints_critical=False)
    breaks_authority("keyUsage is missing or not critical", key_usage=None)
    breaks_authority("keyUsage is missing or not critical", key_usage_critical=False)
    breaks_authority("may not sign certificates", key_usage=frozenset({"crl_sign"}))
    breaks_authority("not self-signed", issuer_name=EMPTY)
    breaks_authority("subjectKeyIdentifier is missing", subject_key_id=None)
    breaks_authority("ID is not the trust domain's", uris=["spiffe://example.org/a"])


@pytest.mark.parametrize("domain", ["spiffe://a", "spiffe://example.orga", "spiffe://z"])
def test_an_authority_has_its_own_trust_domains_id(domain: str) -> None:
    breaks_authority("ID is not the trust domain's", uris=[domain])


@pytest.mark.parametrize("other", ["spiffe://a/a", "spiffe://example.org/b", "spiffe://z/a"])
def test_a_leaf_has_the_very_id_that_was_ordered(other: str) -> None:
    breaks("another SPIFFE ID", uris=[other])
