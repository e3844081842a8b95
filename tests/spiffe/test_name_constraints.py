"""Name constraints: each form of name, within and without."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from finial.spiffe.errors import X509SvidError
from finial.spiffe.x509_svid import verify_chain
from finial.spiffe.x509_svid.name_constraints import check
from tests.fakes.ca import NOW, FakeCa

ID = "spiffe://a.example.org/x"
NOBODY = x509.Name([])
URI = x509.UniformResourceIdentifier
DNS = x509.DNSName
NET4 = x509.IPAddress(ip_network("10.0.0.0/8"))
NET6 = x509.IPAddress(ip_network("fd00::/8"))


def holds(
    names: list[x509.GeneralName],
    *,
    permitted: list[x509.GeneralName] | None = None,
    excluded: list[x509.GeneralName] | None = None,
    subject: x509.Name = NOBODY,
) -> bool:
    constraints = x509.NameConstraints(permitted, excluded)
    ca = FakeCa(extra_extensions=[(constraints, True)])
    sans = x509.SubjectAlternativeName(names)
    leaf = ca.issue(ID, uris=[], subject=subject, extra_extensions=[(sans, False)])
    try:
        check(ca.cert, [x509.load_der_x509_certificate(leaf.chain[0])])
    except X509SvidError:
        return False
    return True


@pytest.mark.parametrize(
    ("tree", "within"),
    [
        ("a.example.org", True),
        ("A.Example.Org", True),
        (".example.org", True),
        (".a.example.org", False),
        ("example.org", False),
        ("b.example.org", False),
        ("xa.example.org", False),
    ],
)
def test_a_uri_is_held_by_its_host_or_by_a_tree_with_a_leading_dot(tree: str, within: bool) -> None:
    assert holds([URI(ID)], permitted=[URI(tree)]) is within
    assert holds([URI(ID)], excluded=[URI(tree)]) is not within


@pytest.mark.parametrize("uri", ["urn:x", "spiffe:", "spiffe://[", "spiffe:///x"])
def test_a_uri_without_host_cannot_be_judged(uri: str) -> None:
    assert not holds([URI(uri)], permitted=[URI("example.org")])
    assert not holds([URI(uri)], excluded=[URI("example.org")])


@pytest.mark.parametrize(
    ("tree", "within"),
    [("example.org", True), ("", True), (".org", True), ("ample.org", False), ("b.org", False)],
)
def test_a_dns_name_is_held_by_itself_and_all_above(tree: str, within: bool) -> None:
    assert holds([DNS("a.example.org")], permitted=[DNS(tree)]) is within
    assert holds([DNS("a.example.org")], excluded=[DNS(tree)]) is not within


def test_an_address_is_held_by_its_network() -> None:
    assert holds([x509.IPAddress(ip_address("10.1.2.3"))], permitted=[NET4])
    assert not holds([x509.IPAddress(ip_address("11.1.2.3"))], permitted=[NET4])
    assert not holds([x509.IPAddress(ip_address("10.1.2.3"))], excluded=[NET4])
    assert not holds([x509.IPAddress(ip_address("fe80::1"))], permitted=[NET4])
    assert holds([x509.IPAddress(ip_address("fd00::1"))], permitted=[NET4, NET6])


def test_a_form_that_is_not_constrained_is_free() -> None:
    assert holds([URI(ID), DNS("b.org")], permitted=[URI("a.example.org")])


def test_every_name_of_a_form_must_be_permitted() -> None:
    assert not holds([DNS("a.org"), DNS("b.org")], permitted=[DNS("a.org")])


def test_exclusion_beats_permission() -> None:
    assert not holds([DNS("x.a.org")], permitted=[DNS("a.org")], excluded=[DNS("x.a.org")])


def test_a_constrained_form_that_cannot_be_judged_is_refused() -> None:
    someone = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SPIRE")])
    tree = x509.DirectoryName(someone)
    assert not holds([URI(ID)], permitted=[tree], subject=someone)
    assert holds([URI(ID)], permitted=[tree])
    assert not holds([x509.RFC822Name("a@b.org")], permitted=[x509.RFC822Name("b.org")])


def test_names_of_intermediates_are_constrained_too() -> None:
    only_org = x509.NameConstraints([URI("example.org")], None)
    root = FakeCa(extra_extensions=[(only_org, True)])
    honest, other = root.intermediate(), root.intermediate(uris=["spiffe://example.com"])
    uri = "spiffe://example.org/x"
    assert verify_chain(honest.issue(uri).chain, root.bundle(), NOW).id.uri == uri
    with pytest.raises(X509SvidError, match="not permitted"):
        verify_chain(other.issue(uri).chain, root.bundle(), NOW)


def test_an_address_of_one_version_of_ip_is_in_no_network_of_the_other() -> None:
    everything = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
    for address, version in (("::1", 4), ("0.0.0.1", 6)):
        names: list[x509.GeneralName] = [x509.IPAddress(ip_address(address))]
        assert not holds(names, permitted=[x509.IPAddress(everything[version])])
        assert holds(names, excluded=[x509.IPAddress(everything[version])])
