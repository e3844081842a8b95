"""WIT-SVIDs beside the checklist: what is read and shown of them, and the memory of signatures."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from finial.spiffe import SpiffeId, TrustDomain
from finial.spiffe.bundle import Bundle, WitAuthority
from finial.spiffe.errors import WitSvidError
from finial.spiffe.jose import ProvenSignatures
from finial.spiffe.jose.algorithm import algorithm_for
from finial.spiffe.wit_svid import (
    WitSvid,
    accept,
    confirmation,
    encode,
    parse_unverified,
    validate,
)
from tests.fakes.ca import NOW, FakeCa
from tests.fakes.wit import AUDIENCE, FakeWit

# Appendix A of the WIT-SVID standard.
EXAMPLE = (
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImxRU2kzaFpGbmRhMkQtWEprajF6bDdmb0pvdWl3STRuckF5aHk0alppSmciLCJ0"
    "eXAiOiJ3aXQrand0In0.eyJjbmYiOnsiandrIjp7ImFsZyI6IkVTMjU2IiwiY3J2IjoiUC0yNTYiLCJrdHkiOiJFQyIs"
    "IngiOiJyelA3bUxDS0FIV21zTTZYMEV3VklTQ19oSTN1amN1OTVmZlVreWVER0dvIiwieSI6InVPcmZEbGp0WDltM2pZ"
    "LWhzeWhMSllheHRHa3pEdjVlNWttQ2U1OFo5N2cifX0sImV4cCI6MTc2NTQ1NjUwMywiaWF0IjoxNzY1NDUyOTAzLCJq"
    "dGkiOiIxeWoxOVY0TWNPQXpNY0ZpN3F2c2dfQWdDeGxyWTVFX3g1MDl3bEtLUXRjIiwic3ViIjoic3BpZmZlOi8vZXhh"
    "bXBsZS5jb20vbXktd29ya2xvYWQifQ.sfhEvZNdY_kWrICF08lX0u__rn39YnTavnW-VPBS20zgowDh6-X43v5eOUKZb"
    "jZf06yLBQM-Mry5w1g1QFsCkg"
)


@pytest.fixture
def wit() -> FakeWit:
    return FakeWit()


def test_the_standards_own_example_is_read() -> None:
    svid = parse_unverified(EXAMPLE)
    assert svid.id == SpiffeId("spiffe://example.com/my-workload")
    assert (svid.issued_at, svid.expires_at) == (1765452903, 1765456503)
    assert svid.key_id == "lQSi3hZFnda2D-XJkj1zl7foJouiwI4nrAyhy4jZiJg"
    assert svid.proof_algorithm == "ES256"
    assert confirmation(svid.key, "ES256") == svid.claims["cnf"]


def test_what_is_encoded_is_validated_and_says_the_same(wit: FakeWit) -> None:
    sign = algorithm_for(wit.key).sign
    claims = wit.claims() | {"nbf": int(NOW), "exp": int(NOW) + 10, "iss": "spiffe://example.org"}
    token = encode(
        claims, key_id=wit.key_id, algorithm="ES256", sign=lambda data: sign(wit.key, data)
    )
    svid = validate(token, wit.bundle(), NOW)
    assert svid == WitSvid(
        id=SpiffeId(wit.subject),
        key=wit.workload_key.public_key(),
        proof_algorithm="ES256",
        issued_at=int(NOW),
        expires_at=int(NOW) + 10,
        claims=claims,
        key_id=wit.key_id,
        token=token,
    )
    assert svid.key == wit.workload_key.public_key()
    assert parse_unverified(token) == svid


def test_fractions_of_seconds_are_dropped(wit: FakeWit) -> None:
    svid = parse_unverified(wit.token(iat=NOW + 0.75, exp=NOW + 9.75))
    assert (svid.issued_at, svid.expires_at) == (NOW, NOW + 9)


def test_reading_unverified_judges_neither_times_nor_signature(wit: FakeWit) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    token = wit.token(exp=1, nbf=int(NOW) * 2, key=stranger)
    assert parse_unverified(token).expires_at == 1


@pytest.mark.parametrize("missing", ["sub", "exp", "cnf"])
def test_reading_unverified_needs_the_claims_all_the_same(wit: FakeWit, missing: str) -> None:
    without: dict[str, Any] = {missing: None}
    with pytest.raises(WitSvidError):
        parse_unverified(wit.token(**without))


def test_a_wit_svid_is_shown_without_its_token_and_claims(wit: FakeWit) -> None:
    shown = repr(parse_unverified(wit.token()))
    assert wit.subject in shown
    for hidden in (wit.token().split(".")[1], "cnf", "key="):
        assert hidden not in shown
    assert hash(parse_unverified(EXAMPLE)) == hash(parse_unverified(EXAMPLE))


def test_a_remembered_signature_is_not_verified_again(wit: FakeWit) -> None:
    proven = ProvenSignatures()
    token = wit.token()
    validate(token, wit.bundle(), NOW, proven=proven)
    assert len(proven) == 1
    # A public key of which only the bytes are the signer's: verifying with it would fail.
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    authority = replace(wit.authority, public_key=stranger)
    bundle = Bundle(wit.trust_domain, wit_authorities=(authority,))
    assert validate(token, bundle, NOW, proven=proven).token == token
    assert accept(token, wit.proof(token), bundle, AUDIENCE, NOW, proven=proven).svid.token == token
    with pytest.raises(WitSvidError, match="invalid signature"):
        validate(token, bundle, NOW)
    with pytest.raises(WitSvidError, match="has expired"):
        validate(token, bundle, NOW + 7200, proven=proven)


def test_an_authority_key_that_is_not_taken_validates_nothing() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    issuer = FakeWit(key=weak)
    with pytest.raises(WitSvidError) as caught:
        validate(issuer.token(), issuer.bundle(), NOW)
    assert str(caught.value) == "WIT authority: RSA key has 1024 bits, not 2048 to 8192"


def test_acceptance_passes_its_settings_on(wit: FakeWit) -> None:
    token = wit.token(exp=int(NOW) + 100)
    proof = wit.proof(token, exp=int(NOW) + 100)

    def accepted(now: float = NOW, **options: Any) -> bool:
        try:
            accept(token, proof, wit.bundle(), AUDIENCE, now, **options)
        except WitSvidError:
            return False
        return True

    assert accepted()
    assert accepted(NOW + 159)
    assert not accepted(NOW + 159, leeway=10)
    assert not accepted(longest_life=99)
    assert accepted(longest_life=100)
    assert not accepted(longest_proof=39)
    assert accepted(longest_proof=40)


def test_acceptance_may_be_called_by_names(wit: FakeWit) -> None:
    token = wit.token()
    accepted = accept(
        token=token, proof=wit.proof(token), bundles=wit.bundle(), audience=AUDIENCE, now=NOW
    )
    assert accepted.svid.token == token


def test_a_bundle_finds_a_wit_key_by_its_name(wit: FakeWit) -> None:
    other = FakeWit(key_id="wit-key-2")
    bundle = wit.bundle(other)
    assert bundle.find_wit_authority("wit-key-2") == other.authority
    assert bundle.find_wit_authority("wit-key-3") is None


def test_the_workload_apis_wit_bundle_has_wit_keys_only_and_no_use(wit: FakeWit) -> None:
    bundle = replace(FakeCa().bundle(), wit_authorities=(wit.authority,))
    keys = json.loads(bundle.wit_jwks())
    assert keys.keys() == {"keys"}
    (jwk,) = keys["keys"]
    assert jwk.keys() == {"kty", "crv", "x", "y", "kid"}
    assert jwk["kid"] == wit.key_id


def test_the_bundle_asked_is_that_of_the_subjects_trust_domain(wit: FakeWit) -> None:
    asked: list[TrustDomain] = []

    class Source:
        def bundle_for(self, trust_domain: TrustDomain) -> Bundle:
            asked.append(trust_domain)
            return wit.bundle()

    validate(wit.token(), Source(), NOW)
    assert asked == [TrustDomain("example.org")]
    assert isinstance(wit.bundle().wit_authorities[0], WitAuthority)
