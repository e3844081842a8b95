"""Whatever strangers send, nothing comes out but an answer or our own errors."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finial.spiffe import SpiffeError, SpiffeId, TrustDomain, base64url
from finial.spiffe.bundle import Bundle
from finial.spiffe.errors import JwtSvidError
from finial.spiffe.jose.token import MAX_TOKEN
from finial.spiffe.jwt_svid import parse_unverified, validate
from finial.spiffe.x509_svid import X509Svid, split_certificates, verify_chain
from tests.fakes.ca import NOW, FakeCa

ID = "spiffe://example.org/a"
CA = FakeCa()
BUNDLE = CA.bundle()
SVID = CA.intermediate().issue(ID, dns_names=["a.example.org"])
TOKEN = CA.jwt(ID, ["x"])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(st.text() | st.from_regex(r"\Aspiffe://[a-z.]{0,9}(/[a-zA-Z.\-_]{0,3}){0,4}\Z"))
def test_text_is_a_spiffe_id_written_the_same_or_refused(text: str) -> None:
    try:
        spiffe_id = SpiffeId.parse(text)
    except SpiffeError:
        return
    assert spiffe_id.uri == text
    assert SpiffeId.of(spiffe_id.trust_domain, spiffe_id.path) == spiffe_id
    assert not {".", "..", ""} & set(spiffe_id.path.split("/")[1:])


@given(st.text())
def test_text_is_a_trust_domain_or_refused(text: str) -> None:
    try:
        assert TrustDomain.parse(text).id_uri.endswith(text)
    except SpiffeError:
        return


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_text_is_no_token(text: str) -> None:
    with pytest.raises(JwtSvidError):
        validate(text, BUNDLE, "x", NOW)


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "x"]), json_values),
    st.dictionaries(st.sampled_from(["sub", "aud", "exp", "nbf", "iat", "x"]), json_values),
)
def test_a_token_of_any_header_and_claims_is_refused(
    header: dict[str, Any], claims: dict[str, Any]
) -> None:
    honest = {"alg": "ES256", "kid": CA.key_id}
    payload = base64url.encode(json.dumps(claims).encode())
    for head in (header, honest, honest | header):
        text = base64url.encode(json.dumps(head).encode())
        with pytest.raises(JwtSvidError):
            validate(f"{text}.{payload}.AAAA", BUNDLE, "x", NOW)


@given(st.dictionaries(st.sampled_from(["sub", "aud", "exp", "nbf", "iat", "x"]), json_values))
def test_signed_claims_of_any_kind_are_judged(claims: dict[str, Any]) -> None:
    token = CA.jwt(ID, ["x"], **claims)
    try:
        svid = validate(token, BUNDLE, "x", NOW)
    except JwtSvidError as error:
        str(error).encode()
        return
    assert "x" in svid.audience
    assert svid.expires_at > NOW - 60


@given(st.integers(0, len(TOKEN) - 1), st.characters(max_codepoint=255))
def test_one_character_of_a_token_changed_is_refused(place: int, character: str) -> None:
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]
    if changed != TOKEN:
        with pytest.raises(JwtSvidError):
            validate(changed, BUNDLE, "x", NOW)


def test_a_token_beyond_all_size_is_refused_unread() -> None:
    for token in ("." * (MAX_TOKEN + 1), TOKEN + "A" * MAX_TOKEN):
        with pytest.raises(JwtSvidError, match="larger than 16384"):
            validate(token, BUNDLE, "x", NOW)
        with pytest.raises(JwtSvidError, match="larger than 16384"):
            parse_unverified(token)


def test_no_error_quotes_a_token() -> None:
    header, payload, signature = TOKEN.split(".")
    for token in (TOKEN + "x", f"{header}.{payload}", f"{header}.{payload}.{signature}!"):
        with pytest.raises(JwtSvidError) as caught:
            validate(token, BUNDLE, "x", NOW)
        for secret in (header, payload, signature):
            assert secret not in str(caught.value)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_bytes_are_a_bundle_or_refused(data: bytes) -> None:
    try:
        bundle = Bundle.from_jwks(BUNDLE.trust_domain, data)
    except SpiffeError:
        return
    assert Bundle.from_jwks(BUNDLE.trust_domain, bundle.to_jwks()) == bundle


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["kty", "use", "kid", "crv", "x", "y", "n", "e", "x5c"]),
            json_values
            | st.sampled_from(["EC", "RSA", "OKP", "P-256", "x509-svid", "jwt-svid", "wit-svid"])
            | st.binary(max_size=40).map(base64url.encode),
        ),
        max_size=4,
    )
)
def test_jwks_of_any_members_are_taken_or_passed_over(keys: list[dict[str, Any]]) -> None:
    data = json.dumps({"keys": keys})
    try:
        bundle = Bundle.from_jwks(BUNDLE.trust_domain, data.encode())
    except SpiffeError:
        return
    assert len(bundle.jwt_authorities) <= len(keys)


@given(st.lists(st.binary(), max_size=3))
def test_bytes_are_no_chain(chain: list[bytes]) -> None:
    with pytest.raises(SpiffeError):
        verify_chain(chain, BUNDLE, NOW)
    with pytest.raises(SpiffeError):
        X509Svid.parse(chain, b"")


@settings(max_examples=600)
@given(st.integers(0, 1), st.integers(0, 1200), st.binary(min_size=0, max_size=4))
def test_a_chain_with_any_bytes_changed_is_refused(which: int, place: int, change: bytes) -> None:
    der = SVID.chain[which]
    place %= len(der)
    changed = der[:place] + change + der[place + len(change) :]
    if changed != der:
        chain = list(SVID.chain)
        chain[which] = changed
        with pytest.raises(SpiffeError):
            verify_chain(chain, BUNDLE, NOW)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("change", [0x01, 0x80, 0xFF])
def test_a_chain_with_any_one_byte_changed_is_refused(which: int, change: int) -> None:
    der = SVID.chain[which]
    for place in range(len(der)):
        chain = list(SVID.chain)
        chain[which] = der[:place] + bytes([der[place] ^ change]) + der[place + 1 :]
        with pytest.raises(SpiffeError):
            verify_chain(chain, BUNDLE, NOW)


@given(st.binary() | st.binary().map(lambda data: b"\x30" + data))
def test_bytes_are_cut_without_loss_or_refused(data: bytes) -> None:
    try:
        parts = split_certificates(data)
    except SpiffeError:
        return
    assert b"".join(parts) == data


@given(st.binary() | st.binary().map(lambda data: CA.bundle().to_pem() + data))
def test_bytes_are_pem_certificates_or_refused(data: bytes) -> None:
    with contextlib.suppress(SpiffeError):
        assert Bundle.from_pem(BUNDLE.trust_domain, data).x509_authorities
