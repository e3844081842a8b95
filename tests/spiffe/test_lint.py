"""The issuing profile beyond the checklist's rows."""

from __future__ import annotations

from typing import Unpack

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from finial.spiffe.errors import X509SvidError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import lint_authority, lint_leaf
from tests.fakes.ca import NOW, Defects, FakeCa

ID = SpiffeId("spiffe://example.org/a")


def breaks(why: str, **defects: Unpack[Defects]) -> None:
    ca = FakeCa()
    leaf = ca.issue(ID, **defects).chain[0]
    with pytest.raises(X509SvidError, match=why):
        lint_leaf(leaf, spiffe_id=ID, issuer=ca.cert, now=NOW)


def test_a_leaf_names_its_issuers_key_and_its_own() -> None:
    breaks("authorityKeyIdentifier", authority_key_id=None)
    breaks("authorityKeyIdentifier", authority_key_id=b"other")
    breaks("subjectKeyIdentifier is missing", subject_key_id=None)


def test_a_leaf_does_not_outlive_its_issuer() -> None:
    breaks("outlives", not_after=NOW + 90000)


def test_a_leaf_is_valid_now() -> None:
    breaks("expired", not_after=NOW - 1)
    breaks("not yet valid", not_before=NOW + 1)


def test_a_leaf_has_only_names_that_were_ordered() -> None:
    breaks("other DNS names", dns_names=["a.org"])
    mail = x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(ID.uri), x509.RFC822Name("a@b.org")]
    )
    breaks("not ordered", uris=[], extra_extensions=[(mail, False)])


def test_a_leaf_has_the_key_that_was_ordered() -> None:
    ca = FakeCa()
    key, other = (ec.generate_private_key(ec.SECP256R1()).public_key() for _ in range(2))
    leaf = ca.issue(ID, csr_public_key=key).chain[0]
    lint_leaf(leaf, spiffe_id=ID, issuer=ca.cert, now=NOW, public_key=key)
    with pytest.raises(X509SvidError, match="another key"):
        lint_leaf(leaf, spiffe_id=ID, issuer=ca.cert, now=NOW, public_key=other)


def test_a_leaf_bears_the_name_of_its_issuer() -> None:
    breaks("issuer is not", issuer_name=x509.Name([]))


def test_a_key_identifier_is_not_critical() -> None:
    identifier = x509.SubjectKeyIdentifier(b"key")
    breaks("is critical", subject_key_id=None, extra_extensions=[(identifier, True)])


def test_a_serial_number_has_at_most_twenty_octets() -> None:
    ca = FakeCa()
    serial = 1 << 158
    leaf = ca.issue(ID, serial=serial).chain[0]
    lint_leaf(leaf, spiffe_id=ID, issuer=ca.cert, now=NOW)
    with pytest.raises(X509SvidError, match="serial number is out of range"):
        lint_leaf(with_longer_serial(leaf, serial), spiffe_id=ID, issuer=ca.cert, now=NOW)


def with_longer_serial(der: bytes, serial: int) -> bytes:
    """The certificate with one more octet before its twenty-octet serial number."""
    octets = serial.to_bytes(20, "big")
    longer = der.replace(b"\x02\x14" + octets, b"\x02\x15\x01" + octets, 1)
    sizes = [int.from_bytes(longer[at : at + 2], "big") + 1 for at in (2, 6)]
    outer, inner = (size.to_bytes(2, "big") for size in sizes)
    return longer[:2] + outer + longer[4:6] + inner + longer[8:]


def test_an_intermediate_authority_is_held_against_its_issuer() -> None:
    root = FakeCa()
    lint_authority(
        root.intermediate().der, trust_domain=root.trust_domain, now=NOW, issuer=root.cert
    )
    late = root.intermediate(not_after=NOW + 90000)
    with pytest.raises(X509SvidError, match="outlives"):
        lint_authority(late.der, trust_domain=root.trust_domain, now=NOW, issuer=root.cert)


def test_garbage_breaks_the_profile() -> None:
    ca = FakeCa()
    with pytest.raises(X509SvidError, match="not a DER"):
        lint_leaf(b"x", spiffe_id=ID, issuer=ca.cert, now=NOW)
    with pytest.raises(X509SvidError, match="not a DER"):
        lint_authority(b"x", trust_domain=ca.trust_domain, now=NOW)
