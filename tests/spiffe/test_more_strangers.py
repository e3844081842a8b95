"""Whatever strangers send as WIT-SVIDs, proofs, maps or redirects: an answer or our error."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finial.spiffe import TrustDomain
from finial.spiffe.bundle import BundleMap
from finial.spiffe.errors import BundleError, FederationError, SpiffeError, WitSvidError
from finial.spiffe.federation import BundleUrl, Fetch, Profile, Relationship
from finial.spiffe.wit_svid import accept, parse_unverified, validate, verify_proof
from tests.fakes.ca import NOW
from tests.fakes.wit import AUDIENCE, FakeWit

WIT = FakeWit()
TOKEN = WIT.token()
SVID = parse_unverified(TOKEN)
BUNDLE = WIT.bundle()
FETCH = Fetch.of(
    Relationship(TrustDomain("b.test"), BundleUrl("https://b.test/x"), Profile.HTTPS_WEB)
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
jwks = st.dictionaries(
    st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "d", "kid"]),
    json_values | st.sampled_from(["EC", "RSA", "P-256", "ES256", "RS256", "AQAB"]),
)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_text_is_no_wit_svid_and_no_proof(text: str) -> None:
    with pytest.raises(WitSvidError):
        validate(text, BUNDLE, NOW)
    with pytest.raises(WitSvidError):
        accept(TOKEN, text, BUNDLE, AUDIENCE, NOW)


@given(
    st.dictionaries(
        st.sampled_from(["sub", "exp", "nbf", "iat", "iss", "jti", "aud", "cnf"]),
        json_values | st.fixed_dictionaries({"jwk": jwks | json_values}),
    )
)
def test_a_signed_wit_svid_of_any_claims_is_read_or_refused(claims: dict[str, Any]) -> None:
    with contextlib.suppress(WitSvidError):
        assert validate(WIT.token(**claims), BUNDLE, NOW, longest_life=60).claims


@given(jwks)
def test_a_signed_wit_svid_of_any_key_is_read_or_refused(jwk: dict[str, Any]) -> None:
    token = WIT.token(cnf={"jwk": WIT.claims()["cnf"]["jwk"] | jwk})
    try:
        svid = validate(token, BUNDLE, NOW)
    except WitSvidError:
        return
    assert svid.key == WIT.workload_key.public_key()


@given(
    st.dictionaries(
        st.sampled_from(["aud", "exp", "nbf", "jti", "wth", "ath", "tth", "oth"]), json_values
    )
)
def test_a_signed_proof_of_any_claims_is_taken_or_refused(claims: dict[str, Any]) -> None:
    with contextlib.suppress(WitSvidError):
        assert verify_proof(WIT.proof(TOKEN, **claims), SVID, AUDIENCE, NOW).proof_id


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_wit_svid_with_any_one_character_changed_is_refused(part: int) -> None:
    parts = TOKEN.split(".")
    for place in range(len(parts[part])):
        changed = list(parts)
        other = "B" if parts[part][place] == "A" else "A"
        changed[part] = parts[part][:place] + other + parts[part][place + 1 :]
        with pytest.raises(WitSvidError):
            validate(".".join(changed), BUNDLE, NOW)


@given(
    st.binary()
    | json_values.map(lambda value: json.dumps({"trust_domains": value}).encode())
    | st.dictionaries(
        st.sampled_from(["a.test", "b.test", "B", ""]),
        st.fixed_dictionaries({"keys": json_values | st.lists(jwks)}),
    ).map(lambda value: json.dumps({"trust_domains": value}).encode())
)
def test_bytes_are_a_bundle_map_or_refused(data: bytes) -> None:
    try:
        read = BundleMap.from_json(data)
    except BundleError:
        return
    assert BundleMap.from_json(read.to_json()) == read


@given(
    st.text()
    | st.from_regex(
        r"\A(https|http|HTTPS)?:?//?[a-z.@:\[\]0-9%\\]{0,12}(/[a-z.%@]{0,3}){0,3}[?#]?[a-z]?\Z"
    )
)
def test_text_is_a_url_as_everybody_reads_it_or_refused(text: str) -> None:
    try:
        url = BundleUrl(text)
    except FederationError:
        return
    split = urlsplit(text)
    assert (split.scheme, split.username, split.password) == ("https", None, None)
    assert split.hostname is not None
    assert (url.host, url.port) == (split.hostname, split.port or 443)
    assert url.target == (split.path or "/") + (f"?{split.query}" if "?" in url.target else "")


@given(st.text() | st.from_regex(r"\A[a-z:/.@\[\]?#]{0,16}\Z"))
def test_text_is_where_a_redirect_may_lead_or_refused(text: str) -> None:
    with contextlib.suppress(FederationError):
        followed = FETCH.answered(302, text, b"")
        assert isinstance(followed, Fetch)
        assert followed.url.text.lower().startswith("https://")


@given(st.integers(100, 599), st.binary())
def test_any_answer_is_a_bundle_or_refused(status: int, body: bytes) -> None:
    with contextlib.suppress(SpiffeError):
        FETCH.answered(status, None, body)
