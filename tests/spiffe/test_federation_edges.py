"""Federation and WIT-SVIDs where two things are compared: before, after, and beside one another."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from finial.spiffe import SpiffeId, TrustDomain
from finial.spiffe.bundle import Bundle
from finial.spiffe.errors import FederationError, WitSvidError
from finial.spiffe.federation import (
    Fetch,
    Held,
    Relationship,
    SpiffePeer,
    Verdict,
    authenticate,
    judge,
)
from finial.spiffe.wit_svid import parse_unverified, validate, verify_proof
from tests.fakes.ca import NOW, FakeCa
from tests.fakes.wit import AUDIENCE, FakeWit

URL = "https://other.test/bundle"


def test_five_redirects_are_followed_and_no_more() -> None:
    fetch: object = Fetch.of(
        Relationship.parse(trust_domain="other.test", url=URL, profile="https_web")
    )
    for _ in range(5):
        assert isinstance(fetch, Fetch)
        fetch = fetch.answered(302, URL, b"")
    assert isinstance(fetch, Fetch)
    with pytest.raises(FederationError, match="redirects more than 5 times"):
        fetch.answered(302, URL, b"")


@pytest.mark.parametrize("fewer", [True, False])
def test_keys_that_were_taken_away_or_added_under_one_sequence_are_told(fewer: bool) -> None:
    first, second = FakeCa(key_id="1"), FakeCa(key_id="2")
    one, both = first.bundle(sequence=7), first.bundle(second, sequence=7)
    held, fetched = (both, one) if fewer else (one, both)
    outcome = judge(fetched, Held(held))
    assert (outcome.held.bundle, outcome.verdict) == (fetched, Verdict.UNCOUNTED)


def test_a_large_sequence_is_compared_by_its_value() -> None:
    held, fetched = (FakeCa().bundle(sequence=int("1000000")) for _ in range(2))
    assert judge(fetched, Held(held)).verdict is Verdict.UNCOUNTED


@pytest.mark.parametrize("name", ["aaa.test", "zzz.test"])
def test_a_bundle_replaces_none_of_another_trust_domain_whatever_its_name(name: str) -> None:
    held = Held(Bundle(TrustDomain("other.test")))
    with pytest.raises(FederationError, match="is none of"):
        judge(Bundle(TrustDomain(name), sequence=9), held)


@pytest.mark.parametrize(
    ("endpoint", "self_serving"),
    [
        ("spiffe://other.test/e", True),
        ("spiffe://aaa.test/e", False),
        ("spiffe://zzz.test/e", False),
    ],
)
def test_an_endpoint_serves_itself_in_its_own_trust_domain_only(
    endpoint: str, self_serving: bool
) -> None:
    relationship = Relationship.parse(
        trust_domain="other.test", url=URL, profile="https_spiffe", endpoint_id=endpoint
    )
    assert relationship.is_self_serving is self_serving


@pytest.mark.parametrize("path", ["/a", "/endpoint-", "/endpoint/x", "/z"])
def test_an_endpoint_with_another_id_is_refused_whatever_it_is(path: str) -> None:
    ca = FakeCa("other.test")
    peer = SpiffePeer(SpiffeId("spiffe://other.test/endpoint"), is_self_serving=True)
    assert authenticate(peer, ca.issue(peer.id).chain, ca.bundle(), NOW).id == peer.id
    with pytest.raises(FederationError, match=r"is not spiffe://other\.test/endpoint but"):
        authenticate(peer, ca.issue(f"spiffe://other.test{path}").chain, ca.bundle(), NOW)


@pytest.mark.parametrize("typ", ["JWT", "wit+jwt", "wpt+jws", "wpt+jwtx", "wpt+jwu", "x", "zzz"])
def test_a_proof_of_any_other_type_is_refused(typ: str) -> None:
    wit = FakeWit()
    token = wit.token()
    proof = wit.proof(token, header={"typ": typ})
    with pytest.raises(WitSvidError, match="header type not equal"):
        verify_proof(proof, parse_unverified(token), AUDIENCE, NOW)


@pytest.mark.parametrize("alg", ["PS256", "PS384", "PS512", "RS384", "RS512"])
def test_a_proof_by_the_right_key_in_another_algorithm_than_named_is_refused(alg: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    wit = FakeWit(workload_key=key, algorithm="RS256")
    token = wit.token()
    svid = parse_unverified(token)
    assert verify_proof(wit.proof(token), svid, AUDIENCE, NOW).proof_id == "proof-1"
    with pytest.raises(WitSvidError, match="not the one that the WIT-SVID names"):
        verify_proof(wit.proof(token, alg=alg), svid, AUDIENCE, NOW)
    # And the other way round: what the token names is the algorithm, not the strongest.
    other = replace(svid, proof_algorithm=alg)
    with pytest.raises(WitSvidError, match="not the one that the WIT-SVID names"):
        verify_proof(wit.proof(token), other, AUDIENCE, NOW)


def test_a_life_is_counted_from_the_very_moment_that_it_begins() -> None:
    wit = FakeWit()
    for begins, good in ((NOW - 60, True), (NOW - 61, False), (NOW, True), (2, False)):
        token = wit.token(nbf=int(begins), exp=int(NOW) + 60)
        if good:
            assert validate(token, wit.bundle(), NOW, longest_life=120).id.path == "/alice"
            continue
        with pytest.raises(WitSvidError, match="lives longer than 120 s"):
            validate(token, wit.bundle(), NOW, longest_life=120)
