"""Certification paths: what is searched, what bounds the search, and a second opinion."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import (
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from finial.spiffe.bundle import Bundle, X509Authority
from finial.spiffe.errors import X509SvidError
from finial.spiffe.x509_svid import verify_chain
from finial.spiffe.x509_svid.path import MAX_CERTIFICATES, MAX_SIGNATURES
from tests.fakes.ca import NOW, Defects, FakeCa, PrivateKey

if TYPE_CHECKING:
    from collections.abc import Sequence

ID = "spiffe://example.org/a"


def refused(chain: Sequence[bytes], bundle: Bundle, why: str) -> None:
    with pytest.raises(X509SvidError, match=why):
        verify_chain(chain, bundle, NOW)


def chain_below(root: FakeCa, intermediates: int) -> tuple[bytes, ...]:
    ca = root
    for _ in range(intermediates):
        ca = ca.intermediate()
    return ca.issue(ID).chain


def test_intermediates_may_come_in_any_order_and_with_some_too_many() -> None:
    root = FakeCa()
    leaf, *others = chain_below(root, 3)
    shuffled = [leaf, *reversed(others), FakeCa().der, root.der]
    assert verify_chain(shuffled, root.bundle(), NOW).root_der == root.der


def test_an_intermediate_may_be_the_anchor() -> None:
    ca = FakeCa().intermediate()
    bundle = Bundle(ca.trust_domain, (X509Authority.from_der(ca.der),))
    assert verify_chain(ca.issue(ID).chain[:1], bundle, NOW).root_der == ca.der


def test_the_leaf_itself_in_the_bundle_proves_nothing() -> None:
    ca = FakeCa()
    leaf = ca.issue(ID).chain[0]
    refused([leaf], Bundle(ca.trust_domain, (X509Authority.from_der(leaf),)), "unknown authority")


def test_a_leaf_issues_no_other_leaf() -> None:
    ca = FakeCa()
    key = ec.generate_private_key(ec.SECP256R1())
    middle = ca.issue("spiffe://example.org/middle", key=key)
    name = x509.load_der_x509_certificate(middle.chain[0]).subject
    forged = ca.issue(ID, signing_key=key, issuer_name=name)
    refused([forged.chain[0], middle.chain[0]], ca.bundle(), "not a CA")


def test_a_renewed_root_with_the_same_name_is_found_by_its_key_id() -> None:
    old, new = FakeCa(), FakeCa()
    assert old.cert.subject == new.cert.subject
    bundle = old.bundle(new)
    for ca in (old, new):
        assert verify_chain(ca.issue(ID).chain, bundle, NOW).root_der == ca.der


def test_a_key_id_that_names_another_issuer_is_only_a_hint() -> None:
    ca = FakeCa()
    for key_id in (b"other", None):
        svid = ca.issue(ID, authority_key_id=key_id)
        assert verify_chain(svid.chain, ca.bundle(), NOW).root_der == ca.der


def test_an_expired_branch_does_not_hide_a_valid_one() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    expired = FakeCa(key=key, not_before=NOW - 9, not_after=NOW - 1)
    renewed = FakeCa(key=key)
    svid = renewed.issue(ID)
    assert verify_chain(svid.chain, expired.bundle(renewed), NOW).root_der == renewed.der


def test_the_proof_is_void_when_the_first_of_the_path_expires() -> None:
    root = FakeCa(not_after=NOW + 30)
    assert verify_chain(root.issue(ID).chain, root.bundle(), NOW).not_after == NOW + 30
    root = FakeCa()
    chain = root.intermediate(not_after=NOW + 20).issue(ID).chain
    assert verify_chain(chain, root.bundle(), NOW).not_after == NOW + 20


def test_a_root_that_came_with_the_chain_is_trusted_by_nobody_and_followed_once() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stranger")])
    stranger = FakeCa(subject=name, issuer_name=name)
    chain = [*stranger.issue(ID).chain, stranger.der]
    refused(chain, FakeCa().bundle(), "^certificate signed by unknown authority$")


def test_an_empty_chain_is_refused() -> None:
    refused([], FakeCa().bundle(), "no certificate presented")


def test_a_chain_has_at_most_ten_certificates() -> None:
    root = FakeCa()
    longest = chain_below(root, MAX_CERTIFICATES - 1)
    assert verify_chain(longest, root.bundle(), NOW).id.uri == ID
    refused(chain_below(root, MAX_CERTIFICATES), root.bundle(), "more than 10 certificates")
    refused([b"\x30\x00"] * 11, root.bundle(), "more than 10 certificates")


def test_a_search_verifies_a_bounded_number_of_signatures() -> None:
    roots = [FakeCa() for _ in range(MAX_SIGNATURES + 1)]
    bundle = roots[0].bundle(*roots[1:])
    stranger = FakeCa()
    refused(stranger.issue(ID).chain, bundle, "too many signatures")


def test_a_certificate_beyond_all_size_is_refused_unread() -> None:
    refused([b"\x30" + bytes(1 << 20)], FakeCa().bundle(), "larger than")


def test_bytes_after_a_certificate_are_refused() -> None:
    ca = FakeCa()
    refused([ca.issue(ID).chain[0] + b"\0"], ca.bundle(), "not a DER certificate")


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-256", "P-384", "P-521", "RSA-2048", "Ed25519"],
)
def test_the_usual_kinds_of_key_are_taken_everywhere(key: PrivateKey) -> None:
    root = FakeCa(key=key)
    chain = root.intermediate(key=key).issue(ID, key=key).chain
    assert verify_chain(chain, root.bundle(), NOW).id.uri == ID


@pytest.mark.parametrize("place", ["leaf", "intermediate", "root"])
@pytest.mark.parametrize(
    ("key", "why"),
    [
        (rsa.generate_private_key(public_exponent=65537, key_size=1024), "1024 bits"),
        (ec.generate_private_key(ec.SECP224R1()), "secp224r1"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
    ],
    ids=["RSA-1024", "P-224", "secp256k1"],
)
def test_keys_too_small_or_on_other_curves_are_refused(
    place: str, key: PrivateKey, why: str
) -> None:
    root = FakeCa(key=key) if place == "root" else FakeCa()
    ca = root.intermediate(key=key) if place == "intermediate" else root
    svid = ca.issue(ID, key=key) if place == "leaf" else ca.issue(ID)
    refused(svid.chain, root.bundle(), why)


def test_an_rsa_key_too_large_is_refused_before_anything_is_verified_with_it() -> None:
    huge = rsa.RSAPublicNumbers(65537, (1 << 8193) + 1).public_key()
    ca = FakeCa()
    refused(ca.issue(ID, csr_public_key=huge).chain, ca.bundle(), "8194 bits")


def test_an_rsa_exponent_too_large_is_refused() -> None:
    modulus = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = rsa.RSAPublicNumbers((1 << 40) + 1, modulus.public_key().public_numbers().n)
    ca = FakeCa()
    refused(ca.issue(ID, csr_public_key=numbers.public_key()).chain, ca.bundle(), "exponent")


def test_a_key_of_another_kind_is_refused() -> None:
    key = dsa.generate_private_key(2048).public_key()
    ca = FakeCa()
    refused(ca.issue(ID, csr_public_key=key).chain, ca.bundle(), "neither EC")  # type: ignore[arg-type]


def test_signatures_by_a_weak_hash_are_refused() -> None:
    ca = FakeCa()
    refused(ca.issue(ID, hash=hashes.SHA224()).chain, ca.bundle(), "algorithm is not accepted")


SECOND_OPINIONS: dict[str, tuple[Defects, Defects, Defects]] = {
    "honest": ({}, {}, {}),
    "root expired": ({"not_after": NOW - 1}, {}, {}),
    "intermediate expired": ({}, {"not_after": NOW - 1}, {}),
    "leaf expired": ({}, {}, {"not_after": NOW - 1}),
    "leaf not yet valid": ({}, {}, {"not_before": NOW + 1}),
    "intermediate no CA": ({}, {"ca": False}, {}),
    "root no CA": ({"ca": False}, {}, {}),
    "intermediate may not sign": ({}, {"key_usage": frozenset({"crl_sign"})}, {}),
    "path length": ({"path_length": 0}, {}, {}),
    "path length enough": ({"path_length": 1}, {"path_length": 0}, {}),
    "leaf's signature": ({}, {}, {"broken_signature": True}),
    "intermediate's signature": ({}, {"broken_signature": True}, {}),
    "DNS permitted": (
        {"extra_extensions": [(x509.NameConstraints([x509.DNSName("a.org")], None), True)]},
        {},
        {"dns_names": ["x.a.org"]},
    ),
    "DNS not permitted": (
        {"extra_extensions": [(x509.NameConstraints([x509.DNSName("a.org")], None), True)]},
        {},
        {"dns_names": ["x.b.org"]},
    ),
    "DNS excluded": (
        {"extra_extensions": [(x509.NameConstraints(None, [x509.DNSName("a.org")]), True)]},
        {},
        {"dns_names": ["x.a.org"]},
    ),
}


@pytest.mark.parametrize("case", SECOND_OPINIONS)
def test_cryptographys_own_verifier_is_of_the_same_opinion(case: str) -> None:
    root_defects, ca_defects, leaf_defects = SECOND_OPINIONS[case]
    root = FakeCa(**root_defects)
    ca = root.intermediate(**ca_defects)
    chain = ca.issue(ID, **leaf_defects).chain
    assert ours(root, chain) == theirs(root, chain)


def ours(root: FakeCa, chain: Sequence[bytes]) -> bool:
    try:
        verify_chain(chain, root.bundle(), NOW)
    except X509SvidError:
        return False
    return True


def theirs(root: FakeCa, chain: Sequence[bytes]) -> bool:
    verifier = (
        PolicyBuilder()
        .store(Store([root.cert]))
        .time(dt.datetime.fromtimestamp(NOW, dt.UTC))
        .extension_policies(
            ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
        )
        .build_client_verifier()
    )
    leaf, *others = [x509.load_der_x509_certificate(der) for der in chain]
    try:
        verifier.verify(leaf, others)
    except VerificationError:
        return False
    return True
