"""What is looked up is found by being equal, and not by coming before or after in some order."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from finial.spiffe import SpiffeId, TrustDomain
from finial.spiffe.bundle import Bundle, JwtAuthority, WitAuthority
from finial.spiffe.errors import JwtSvidError, X509SvidError
from finial.spiffe.jwt_svid import validate
from finial.spiffe.x509_svid import X509Svid
from tests.fakes.ca import NOW, FakeCa
from tests.spiffe.test_search import Liar

DOMAIN = TrustDomain("example.org")
OTHERS = [TrustDomain(name) for name in ("a", "example.orf", "example.orga", "z", "example.org.x")]


def keys() -> dict[str, ec.EllipticCurvePublicKey]:
    return {name: ec.generate_private_key(ec.SECP256R1()).public_key() for name in "cab"}


def test_a_key_is_found_by_its_own_id_wherever_it_stands() -> None:
    named = keys()
    bundle = Bundle(
        DOMAIN,
        jwt_authorities=tuple(JwtAuthority.from_key(name, key) for name, key in named.items()),
        wit_authorities=tuple(WitAuthority.from_key(name, key) for name, key in named.items()),
    )
    for name, key in named.items():
        asked = name.encode().decode()
        for found in (bundle.find_jwt_authority(asked), bundle.find_wit_authority(asked)):
            assert found is not None
            assert found.public_key == key
    for asked in ("", "A", "aa", "0", "d", "bb"):
        assert bundle.find_jwt_authority(asked) is None
        assert bundle.find_wit_authority(asked) is None


def test_a_trust_anchor_is_found_by_its_bytes() -> None:
    bundle = FakeCa().bundle()
    der = bundle.x509_authorities[0].der
    assert bundle.has_x509_authority(bytes(bytearray(der)))
    for other in (b"", b"\xff", der + b"\x00", der[:-1]):
        assert not bundle.has_x509_authority(other)


def test_a_bundle_answers_for_its_own_trust_domain_only() -> None:
    bundle = Bundle(DOMAIN)
    assert bundle.bundle_for(TrustDomain("example.org")) is bundle
    for other in OTHERS:
        assert bundle.bundle_for(other) is None


def test_an_id_is_a_member_of_its_own_trust_domain_only() -> None:
    spiffe_id = SpiffeId("spiffe://example.org/a")
    assert spiffe_id.member_of(TrustDomain("example.org"))
    for other in OTHERS:
        assert not spiffe_id.member_of(other)


@pytest.mark.parametrize(
    "path", ["/spir", "/spirf", "/spir/e", "/a", "/spire-agent", "/spirea/agent/x", "/z/spire"]
)
def test_paths_beside_the_reserved_ones_are_free(path: str) -> None:
    spiffe_id = SpiffeId.of(DOMAIN, path)
    assert not spiffe_id.is_reserved
    assert not spiffe_id.is_agent


@pytest.mark.parametrize("domain", ["aaa.test", "example.org.test", "zzz.test"])
def test_another_trust_domains_jwt_keys_prove_nothing_whatever_its_name(domain: str) -> None:
    ca, foreign = FakeCa(), FakeCa(domain)
    token = foreign.jwt("spiffe://example.org/a", ["me"])
    with pytest.raises(JwtSvidError, match="no JWT bundle found"):
        validate(token, Liar(foreign.bundle()), "me", NOW)
    ours = validate(ca.jwt("spiffe://example.org/a", ["me"]), Liar(ca.bundle()), "me", NOW)
    assert ours.id.uri == "spiffe://example.org/a"


def test_a_private_key_of_an_unknown_kind_is_refused() -> None:
    svid = FakeCa().issue("spiffe://example.org/a")
    p256, unknown = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d03017f")
    assert p256 in svid.key_pkcs8
    with pytest.raises(X509SvidError, match="private key is not an unencrypted PKCS#8 key"):
        X509Svid.parse(svid.chain, svid.key_pkcs8.replace(p256, unknown))


def test_documents_are_indented_as_spires_are() -> None:
    lines = FakeCa().bundle().to_jwks().decode().splitlines()
    assert lines[:3] == ["{", '    "keys": [', "        {"]


def test_a_token_that_does_not_say_when_it_was_issued_was_issued_at_zero() -> None:
    ca = FakeCa()
    token = ca.jwt("spiffe://example.org/a", ["me"], iat=None)
    assert validate(token, ca.bundle(), "me", NOW).issued_at == 0
    token = ca.jwt("spiffe://example.org/a", ["me"], iat=NOW - 0.5)
    assert validate(token, ca.bundle(), "me", NOW).issued_at == int(NOW) - 1
