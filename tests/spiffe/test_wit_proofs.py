"""Proofs of possession (draft-ietf-wimse-wpt section 2)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from finial.spiffe import base64url
from finial.spiffe.errors import WitSvidError
from finial.spiffe.jose.algorithm import ALGORITHMS
from finial.spiffe.wit_svid import (
    Companions,
    Proof,
    encode_proof,
    parse_unverified,
    verify_proof,
)
from tests.fakes.ca import NOW
from tests.fakes.wit import AUDIENCE, FakeWit, digest

WIT = FakeWit()
TOKEN = WIT.token()
SVID = parse_unverified(TOKEN)


def verify(proof: str, audience: str = AUDIENCE, now: float = NOW, **options: Any) -> Proof:
    return verify_proof(proof, SVID, audience, now, **options)


def refused(proof: str, why: str, **options: Any) -> None:
    with pytest.raises(WitSvidError) as caught:
        verify(proof, **options)
    assert str(caught.value) == why


def written(companions: Companions | None = None, **changes: Any) -> str:
    options: dict[str, Any] = {
        "proof_id": "proof-2",
        "expires_at": int(NOW) + 30,
        "algorithm": "ES256",
        "sign": lambda data: ALGORITHMS["ES256"].sign(WIT.workload_key, data),
    }
    if companions is not None:
        options["companions"] = companions
    return encode_proof(TOKEN, AUDIENCE, **(options | changes))


def parts(token: str) -> list[Any]:
    return [json.loads(base64url.decode(text.encode())) for text in token.split(".")[:2]]


def test_an_honest_proof_says_what_it_is() -> None:
    claims = {"aud": AUDIENCE, "exp": int(NOW) + 30, "jti": "proof-1", "wth": digest(TOKEN)}
    assert verify(WIT.proof(TOKEN)) == Proof("proof-1", int(NOW) + 30, claims)


def test_a_proof_is_shown_and_hashed_without_its_claims() -> None:
    proof = verify(WIT.proof(TOKEN))
    assert repr(proof) == "Proof(proof_id='proof-1', expires_at=1800000030)"
    assert hash(proof) == hash(verify(WIT.proof(TOKEN, foo=1)))


def test_a_written_proof_has_the_drafts_header_and_claims() -> None:
    assert parts(written()) == [
        {"alg": "ES256", "typ": "wpt+jwt"},
        {"aud": AUDIENCE, "exp": int(NOW) + 30, "jti": "proof-2", "wth": digest(TOKEN)},
    ]
    assert verify(written()).proof_id == "proof-2"


@pytest.mark.parametrize("rest", ["?a=b", "#f", "?a=b#f", "#f?a", ""])
def test_query_and_fragment_do_not_count(rest: str) -> None:
    assert verify(WIT.proof(TOKEN), AUDIENCE + rest).proof_id == "proof-1"
    assert verify(WIT.proof(TOKEN, aud=AUDIENCE + rest)).proof_id == "proof-1"
    token = encode_proof(
        TOKEN, AUDIENCE + rest, proof_id="p", expires_at=1, algorithm="ES256", sign=bytes
    )
    assert parts(token)[1]["aud"] == AUDIENCE


@pytest.mark.parametrize(
    "aud",
    [None, "", "https://bob.example.org/", AUDIENCE + "/", AUDIENCE.upper(), [], ["x"], 1, [1], {}],
)
def test_a_proof_for_others_is_refused(aud: object) -> None:
    refused(WIT.proof(TOKEN, aud=aud), "proof is for another audience")


def test_an_audience_may_be_one_of_several() -> None:
    assert verify(WIT.proof(TOKEN, aud=[1, "x", AUDIENCE])).proof_id == "proof-1"


def test_a_relying_party_without_a_name_accepts_nothing() -> None:
    with pytest.raises(WitSvidError) as caught:
        verify(WIT.proof(TOKEN, aud=""), audience="")
    assert str(caught.value) == "audience must be specified"


@pytest.mark.parametrize(
    "typ", ["wpt+jwt", "WPT+JWT", "application/wpt+jwt", "Application/WPT+JWT"]
)
def test_the_type_is_read_as_a_media_type(typ: str) -> None:
    """RFC 7515 section 4.1.9: without case, and the prefix is understood."""
    assert verify(WIT.proof(TOKEN, header={"typ": typ})).proof_id == "proof-1"


@pytest.mark.parametrize("typ", [None, "JWT", "wit+jwt", "application/jwt", 1, ["wpt+jwt"]])
def test_any_other_type_is_refused(typ: object) -> None:
    proof = WIT.proof(TOKEN, header={"typ": typ})
    refused(proof, "proof's header type not equal to wpt+jwt")


def test_the_algorithm_is_the_very_one_that_the_token_names() -> None:
    key = WIT.workload_key
    rsa_like = FakeWit(workload_key=ec.generate_private_key(ec.SECP384R1()))
    why = "proof's algorithm is not the one that the WIT-SVID names"
    refused(WIT.proof(TOKEN, alg="ES384", key=rsa_like.workload_key), why)
    refused(WIT.proof(TOKEN, header={"alg": "PS256"}), why)
    refused(
        WIT.proof(TOKEN, header={"alg": "none"}),
        "unable to parse WPT token: unexpected signature algorithm",
    )
    assert verify(WIT.proof(TOKEN, alg="ES256", key=key)).proof_id == "proof-1"


def test_a_proof_needs_no_key_id_and_may_have_no_critical_header() -> None:
    assert verify(WIT.proof(TOKEN, header={"kid": "k", "foo": 1})).proof_id == "proof-1"
    refused(WIT.proof(TOKEN, header={"crit": ["x"]}), "token header has critical parameters")


@pytest.mark.parametrize("wth", [None, "", digest("another"), TOKEN, [digest(TOKEN)]])
def test_a_proof_of_another_token_is_refused(wth: object) -> None:
    refused(WIT.proof(TOKEN, wth=wth), "proof is not of this WIT-SVID")


def test_a_proof_expires_after_the_leeway() -> None:
    proof = WIT.proof(TOKEN, exp=int(NOW))
    assert verify(proof, now=NOW + 59).expires_at == NOW
    refused(proof, "token has expired", now=NOW + 60)
    refused(proof, "token has expired", now=NOW, leeway=0)
    refused(WIT.proof(TOKEN, nbf=int(NOW) + 61), "token is not valid yet")
    assert verify(WIT.proof(TOKEN, exp=NOW + 1.5)).expires_at == NOW + 1


def test_a_proof_lives_no_longer_than_five_minutes_or_what_the_caller_says() -> None:
    cases: list[tuple[int, dict[str, Any], int]] = [
        (360, {}, 300),
        (310, {"leeway": 10}, 300),
        (70, {"longest": 10}, 10),
    ]
    for ahead, options, seconds in cases:
        verify(WIT.proof(TOKEN, exp=int(NOW) + ahead), **options)
        why = f"proof lives longer than {seconds} s"
        refused(WIT.proof(TOKEN, exp=int(NOW) + ahead + 1), why, **options)


@pytest.mark.parametrize("jti", [None, "", 7])
def test_a_proof_without_a_name_is_refused(jti: object) -> None:
    refused(WIT.proof(TOKEN, jti=jti), "proof missing jti claim")


def test_a_proof_by_another_key_is_refused() -> None:
    thief = ec.generate_private_key(ec.SECP256R1())
    refused(WIT.proof(TOKEN, key=thief), "proof has an invalid signature")


@pytest.mark.parametrize(
    ("companions", "claim", "value"),
    [
        (Companions(access_token="a"), "ath", digest("a")),
        (Companions(access_token=""), "ath", digest("")),
        (Companions(transaction_token="t"), "tth", digest("t")),
        (
            Companions(others={"x-user": " u v ", "x-other": "\tw"}),
            "oth",
            {"x-user": digest("u v"), "x-other": digest("\tw")},
        ),
    ],
)
def test_a_proof_covers_the_tokens_beside_it(
    companions: Companions, claim: str, value: object
) -> None:
    proof = written(companions)
    assert parts(proof)[1].keys() == {"aud", "exp", "jti", "wth", claim}
    assert parts(proof)[1][claim] == value
    assert verify(proof, companions=companions).claims[claim] == value
    token_or_tokens = "tokens" if claim == "oth" else "token"
    why = f"proof does not cover the {token_or_tokens} of its {claim} claim"
    refused(written(), why, companions=companions)
    other: dict[str, Any] = {claim: digest("another")}
    refused(WIT.proof(TOKEN, **other), why, companions=companions)


def test_both_tokens_beside_a_proof_are_covered() -> None:
    both = Companions(access_token="a", transaction_token="t")
    assert verify(written(both), companions=both).proof_id == "proof-2"
    refused(
        written(Companions(access_token="a")),
        "proof does not cover the token of its tth claim",
        companions=both,
    )


def test_a_hash_of_a_token_that_was_not_looked_at_does_no_harm() -> None:
    """Whoever does not use the access token need not know it."""
    both = Companions(access_token="a", transaction_token="t")
    assert verify(written(both)).proof_id == "proof-2"


@pytest.mark.parametrize("oth", [{"x-user": digest("u")}, [], "x"])
def test_an_entry_for_a_token_that_is_not_understood_condemns_the_proof(oth: object) -> None:
    refused(WIT.proof(TOKEN, oth=oth), "proof does not cover the tokens of its oth claim")


def test_an_empty_list_of_other_tokens_condemns_nothing() -> None:
    assert verify(WIT.proof(TOKEN, oth={})).proof_id == "proof-1"


def test_companions_do_not_show_their_tokens() -> None:
    shown = repr(Companions("secret", "secret", {"x-user": "secret"}))
    assert shown == "Companions()"
