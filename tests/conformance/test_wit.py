"""Checklist rows WIT-*: tokens are written and judged as the standard has it, proofs with them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from finial.spiffe import base64url
from finial.spiffe.bundle import Bundle, JwtAuthority
from finial.spiffe.errors import BundleError, JwtSvidError, WitSvidError
from finial.spiffe.jose.algorithm import ALGORITHMS, algorithm_for
from finial.spiffe.jwt_svid import validate as validate_jwt
from finial.spiffe.wit_svid import (
    WitSvid,
    accept,
    confirmation,
    encode,
    parse_unverified,
    validate,
)
from tests.fakes.ca import NOW, FakeCa, PrivateKey
from tests.fakes.wit import AUDIENCE, FakeWit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finial.spiffe.trust_domain import TrustDomain

ID = "spiffe://example.org/alice"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS: dict[str, PrivateKey] = {
    **{f"{kind}{bits}": RSA_KEY for kind in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
}
NINE = sorted(KEYS)
HOUR = 3600


@pytest.fixture
def wit() -> FakeWit:
    return FakeWit()


def check(wit: FakeWit, token: str, now: float = NOW, **options: Any) -> WitSvid:
    return validate(token, wit.bundle(), now, **options)


def refused(wit: FakeWit, token: str, why: str, now: float = NOW, **options: Any) -> None:
    with pytest.raises(WitSvidError) as caught:
        check(wit, token, now, **options)
    assert str(caught.value) == why


def written(claims: Mapping[str, Any], key_id: str = "key", algorithm: str = "ES256") -> str:
    key = KEYS["ES256"]
    sign = algorithm_for(key).sign
    return encode(claims, key_id=key_id, algorithm=algorithm, sign=lambda data: sign(key, data))


def not_written(claims: Mapping[str, Any], why: str, **options: Any) -> None:
    with pytest.raises(WitSvidError) as caught:
        written(claims, **options)
    assert str(caught.value) == why


def part_of(token: str, index: int) -> dict[str, Any]:
    part: dict[str, Any] = json.loads(base64url.decode(token.split(".")[index].encode()))
    return part


def without(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


def jwk_with(wit: FakeWit, **changes: Any) -> dict[str, Any]:
    """The honest cnf claim, with changes to its JWK."""
    jwk = wit.claims()["cnf"]["jwk"] | changes
    return {"jwk": {name: value for name, value in jwk.items() if value is not None}}


@pytest.mark.parametrize("kid", [None, "", 5])
def test_WIT_01_a_token_without_key_id_is_refused(wit: FakeWit, kid: object) -> None:
    refused(wit, wit.token(header={"kid": kid}), "token header missing key id")


def test_WIT_01_a_token_is_not_written_without_key_id(wit: FakeWit) -> None:
    not_written(wit.claims(), "missing key ID", key_id="")


def test_WIT_02_the_key_id_is_compared_with_case(wit: FakeWit) -> None:
    refused(
        wit,
        wit.token(header={"kid": "WIT-KEY-1"}),
        'no WIT authority "WIT-KEY-1" found for trust domain "example.org"',
    )


def test_WIT_02_the_key_id_picks_the_key_among_several(wit: FakeWit) -> None:
    other = FakeWit(key_id="wit-key-2")
    assert validate(other.token(), wit.bundle(other), NOW).key_id == "wit-key-2"


@pytest.mark.parametrize(
    "typ", [None, "", "JWT", "JOSE", "WIT+JWT", "application/wit+jwt", "wpt+jwt", ["wit+jwt"], 1]
)
def test_WIT_04_any_other_typ_is_refused(wit: FakeWit, typ: object) -> None:
    """The standard says "set to wit+jwt"; go-spiffe compares likewise."""
    refused(wit, wit.token(header={"typ": typ}), "token header type not equal to wit+jwt")


def test_WIT_04_a_jwt_svid_is_no_wit_svid_nor_the_other_way_round(wit: FakeWit) -> None:
    refused(wit, wit.token(header={"typ": "JWT"}), "token header type not equal to wit+jwt")
    keys = (JwtAuthority.from_key(wit.key_id, wit.key.public_key()),)
    bundle = Bundle(wit.trust_domain, jwt_authorities=keys)
    with pytest.raises(JwtSvidError, match="header type"):
        validate_jwt(wit.token(aud=["x"]), bundle, "x", NOW)


@pytest.mark.parametrize("alg", NINE)
def test_WIT_05_each_of_the_nine_algorithms_is_accepted(alg: str) -> None:
    wit = FakeWit(key=KEYS[alg])
    assert check(wit, wit.token(alg=alg)).id.uri == ID


@pytest.mark.parametrize("alg", NINE)
def test_WIT_05_another_implementation_reads_our_tokens(alg: str) -> None:
    wit = FakeWit()
    key = KEYS[alg]
    token = encode(
        wit.claims(), key_id="k", algorithm=alg, sign=lambda data: ALGORITHMS[alg].sign(key, data)
    )
    claims = pyjwt.decode(
        token,
        key=key.public_key(),
        algorithms=[alg],
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims == wit.claims()


@pytest.mark.parametrize("alg", ["none", "HS256", "EdDSA", "es256", "", None, ["ES256"]])
def test_WIT_05_any_other_algorithm_is_refused(wit: FakeWit, alg: object) -> None:
    refused(
        wit,
        wit.token(header={"alg": alg}),
        "unable to parse WIT token: unexpected signature algorithm",
    )


@pytest.mark.parametrize("alg", ["none", "HS256", "EdDSA", ""])
def test_WIT_05_other_algorithms_are_not_written(wit: FakeWit, alg: str) -> None:
    not_written(wit.claims(), f'"{alg}" is not an algorithm of WIT-SVIDs', algorithm=alg)


def test_WIT_05_the_algorithm_fits_the_key(wit: FakeWit) -> None:
    refused(
        wit,
        wit.token(header={"alg": "RS256"}),
        "token's signature algorithm does not fit the key",
    )


def test_WIT_06_the_header_is_exactly_alg_kid_and_typ(wit: FakeWit) -> None:
    header = part_of(written(wit.claims()), 0)
    assert header == {"alg": "ES256", "kid": "key", "typ": "wit+jwt"}


def test_WIT_07_unknown_headers_are_passed_over(wit: FakeWit) -> None:
    assert check(wit, wit.token(header={"foo": "bar", "x5c": [], "jku": "https://a"})).id.uri == ID


@pytest.mark.parametrize("critical", [["foo"], ["kid"], [], None])
def test_WIT_07_critical_headers_are_refused(wit: FakeWit, critical: list[str] | None) -> None:
    """None is understood here; an empty list may not be written at all (RFC 7515, 4.1.11)."""
    token = wit.token(header={"foo": "bar", "crit": critical})
    if critical is None:
        assert check(wit, token).id.uri == ID
    else:
        refused(wit, token, "token header has critical parameters")


@pytest.mark.parametrize("sub", [None, "", 7])
def test_WIT_08_a_token_without_subject_is_refused(wit: FakeWit, sub: object) -> None:
    refused(wit, wit.token(sub=sub), "token missing subject claim")


def test_WIT_08_a_subject_that_is_no_spiffe_id_is_refused(wit: FakeWit) -> None:
    refused(
        wit,
        wit.token(sub="wimse://example.org/alice"),
        "token has an invalid subject claim: scheme is missing or invalid",
    )


def test_WIT_08_a_token_is_not_written_without_a_spiffe_id(wit: FakeWit) -> None:
    not_written(without(wit.claims(), "sub"), "invalid SPIFFE ID: cannot be empty")
    not_written(
        wit.claims() | {"sub": "https://a"}, "invalid SPIFFE ID: scheme is missing or invalid"
    )


@pytest.mark.parametrize("cnf", [None, "jwk", ["jwk"]])
def test_WIT_09_a_token_without_cnf_is_refused(wit: FakeWit, cnf: object) -> None:
    refused(wit, wit.token(cnf=cnf), "token missing cnf claim")


@pytest.mark.parametrize("cnf", [{}, {"jwk": None}, {"jwk": "x"}, {"kid": "k"}, {"jkt": "x"}])
def test_WIT_09_a_cnf_without_jwk_is_refused(wit: FakeWit, cnf: dict[str, Any]) -> None:
    refused(wit, wit.token(cnf=cnf), "cnf claim missing jwk")


def test_WIT_09_what_else_is_in_cnf_is_passed_over(wit: FakeWit) -> None:
    """RFC 7800 section 3.1: confirmation members that are not understood are ignored."""
    cnf = jwk_with(wit, kid="k", use="sig", foo=1) | {"kid": "k"}
    key = check(wit, wit.token(cnf=cnf)).key
    assert key == wit.workload_key.public_key()


@pytest.mark.parametrize("secret", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_WIT_09_a_private_key_in_cnf_is_refused(wit: FakeWit, secret: str) -> None:
    refused(wit, wit.token(cnf=jwk_with(wit, **{secret: "AQ"})), "cnf key is private")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kty": "XYZ"}, "unknown kty"),
        ({"kty": None}, "unknown kty"),
        ({"crv": "secp256k1"}, "unknown crv"),
        ({"x": None}, "x is missing or malformed"),
        ({"y": "*"}, "not base64url"),
    ],
)
def test_WIT_09_a_malformed_key_in_cnf_is_refused(
    wit: FakeWit, changes: dict[str, Any], why: str
) -> None:
    refused(wit, wit.token(cnf=jwk_with(wit, **changes)), f"cnf key: {why}")


@pytest.mark.parametrize("x", ["AQ", "A" * 4096])
def test_WIT_09_a_point_off_the_curve_in_cnf_is_refused(wit: FakeWit, x: str) -> None:
    with pytest.raises(WitSvidError) as caught:
        check(wit, wit.token(cnf=jwk_with(wit, x=x)))
    assert str(caught.value).startswith("cnf key: ")


def test_WIT_09_a_token_is_not_written_without_cnf(wit: FakeWit) -> None:
    not_written(without(wit.claims(), "cnf"), "token missing cnf claim")


def test_WIT_09_a_cnf_is_written_with_the_public_key_only(wit: FakeWit) -> None:
    more = "cnf has members that are not those of a public key and its alg"
    not_written(wit.claims() | {"cnf": jwk_with(wit, kid="k")}, more)
    not_written(wit.claims() | {"cnf": jwk_with(wit) | {"kid": "k"}}, more)
    not_written(wit.claims() | {"cnf": jwk_with(wit, d="AQ")}, "cnf key is private")


@pytest.mark.parametrize("alg", [None, "none", "HS256", "EdDSA", "", 5, ["ES256"]])
def test_WIT_10_a_cnf_key_without_an_algorithm_of_the_nine_is_refused(
    wit: FakeWit, alg: object
) -> None:
    why = "cnf key's alg is not an algorithm of WIT-SVIDs"
    refused(wit, wit.token(cnf=jwk_with(wit, alg=alg)), why)
    not_written(wit.claims() | {"cnf": jwk_with(wit, alg=alg)}, why)


@pytest.mark.parametrize("alg", ["ES384", "RS256"])
def test_WIT_10_the_algorithm_of_a_cnf_key_fits_it(wit: FakeWit, alg: str) -> None:
    refused(wit, wit.token(cnf=jwk_with(wit, alg=alg)), "cnf key does not fit its alg")


@pytest.mark.parametrize("alg", NINE)
def test_WIT_10_a_confirmation_names_each_of_the_nine(wit: FakeWit, alg: str) -> None:
    public = KEYS[alg].public_key()
    cnf = confirmation(public, alg)
    assert cnf["jwk"]["alg"] == alg
    svid = check(wit, wit.token(cnf=cnf))
    assert (svid.key, svid.proof_algorithm) == (public, alg)


def test_WIT_10_a_confirmation_of_an_unfit_key_is_not_written() -> None:
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    for key, alg, why in (
        (KEYS["ES256"].public_key(), "HS256", '"HS256" is not an algorithm of WIT-SVIDs'),
        (KEYS["ES256"].public_key(), "ES384", "workload key does not fit ES384"),
        (edwards, "ES256", "workload key does not fit ES256"),
        (weak, "RS256", "workload key: RSA key has 1024 bits, not 2048 to 8192"),
        ("key", "ES256", "workload key: key is neither EC, RSA nor Ed25519"),
    ):
        with pytest.raises(WitSvidError) as caught:
            confirmation(key, alg)
        assert str(caught.value) == why


def test_WIT_12_one_token_is_accepted_with_each_fresh_proof(wit: FakeWit) -> None:
    token = wit.token(jti="the-same")
    for proof_id in ("first", "second"):
        proof = wit.proof(token, jti=proof_id)
        accepted = accept(token, proof, wit.bundle(), AUDIENCE, NOW)
        assert accepted.proof.proof_id == proof_id


def test_WIT_13_a_token_without_exp_is_refused(wit: FakeWit) -> None:
    refused(wit, wit.token(exp=None), "token missing exp claim")
    refused(wit, wit.token(exp="tomorrow"), "token has an invalid exp claim")


def test_WIT_13_an_expired_token_is_refused_after_a_minutes_leeway(wit: FakeWit) -> None:
    token = wit.token(exp=int(NOW))
    assert check(wit, token, NOW + 59.5).expires_at == NOW
    refused(wit, token, "token has expired", NOW + 60)


def test_WIT_13_the_leeway_is_the_callers(wit: FakeWit) -> None:
    token = wit.token(exp=int(NOW))
    assert check(wit, token, NOW + 119, leeway=120).expires_at == NOW
    refused(wit, token, "token has expired", NOW, leeway=0)


@pytest.mark.parametrize("exp", [None, "1", 1.5, True])
def test_WIT_13_a_token_is_not_written_without_an_integer_exp(wit: FakeWit, exp: object) -> None:
    not_written(wit.claims() | {"exp": exp}, "exp is not an integer")
    not_written(without(wit.claims(), "exp"), "exp is not an integer")


def test_WIT_14_a_token_of_the_future_is_refused_but_for_a_minutes_leeway(wit: FakeWit) -> None:
    token = wit.token(nbf=int(NOW) + 600)
    refused(wit, token, "token is not valid yet", NOW + 539)
    assert check(wit, token, NOW + 540).id.uri == ID
    refused(wit, wit.token(nbf="now"), "token has an invalid nbf claim")


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_WIT_14_a_token_is_not_written_with_another_time_than_an_integer(
    wit: FakeWit, name: str
) -> None:
    assert part_of(written(wit.claims() | {name: 1}), 1)[name] == 1
    not_written(wit.claims() | {name: 1.5}, f"{name} is not an integer")


def test_WIT_15_a_token_that_lives_too_long_is_refused(wit: FakeWit) -> None:
    token = wit.token(nbf=int(NOW) - 10, exp=int(NOW) + HOUR)
    assert check(wit, token, longest_life=HOUR + 10).id.uri == ID
    refused(wit, token, "token lives longer than 3600 s", longest_life=HOUR)
    assert check(wit, token).id.uri == ID


def test_WIT_15_without_nbf_the_life_is_what_is_left_of_it(wit: FakeWit) -> None:
    """SPIRE writes no nbf, and iat may not stand for it: what is known is the remaining life."""
    token = wit.token(iat=int(NOW) - HOUR, exp=int(NOW) + HOUR)
    assert check(wit, token, longest_life=HOUR).id.uri == ID
    refused(wit, token, "token lives longer than 3600 s", NOW - 1, longest_life=HOUR)


def test_WIT_16_the_time_of_issue_limits_nothing(wit: FakeWit) -> None:
    """A JWT-SVID of the future is refused for its iat; a WIT-SVID must not be."""
    assert check(wit, wit.token(iat=int(NOW) + 600)).issued_at == NOW + 600
    assert check(wit, wit.token(iat=None)).issued_at == 0


@pytest.mark.parametrize("iss", ["https://example.org", "HTTPS://example.org"])
def test_WIT_17_an_issuer_that_oidc_discovery_would_take_is_not_written(
    wit: FakeWit, iss: str
) -> None:
    not_written(wit.claims() | {"iss": iss}, "iss is an https URL, and WIT-SVIDs are no ID tokens")


def test_WIT_17_another_issuer_is_written_and_read(wit: FakeWit) -> None:
    token = written(wit.claims() | {"iss": "spiffe://example.org"})
    assert parse_unverified(token).claims["iss"] == "spiffe://example.org"
    assert check(wit, wit.token(iss="https://example.org")).id.uri == ID


@pytest.mark.parametrize("name", ["iss", "jti"])
def test_WIT_17_a_name_is_written_as_text_only(wit: FakeWit, name: str) -> None:
    not_written(wit.claims() | {name: 1}, f"{name} is not a text")


@pytest.mark.parametrize("aud", [["x"], "x", []])
def test_WIT_18_an_audience_is_neither_written_nor_read(wit: FakeWit, aud: object) -> None:
    """Not read either: RFC 7519 section 4.1.3 has it refused by whoever is not named in it."""
    not_written(wit.claims() | {"aud": aud}, "a WIT-SVID has no audience")
    refused(wit, wit.token(aud=aud), "token has an aud claim")


def test_WIT_19_unknown_claims_are_passed_over_and_kept(wit: FakeWit) -> None:
    assert check(wit, wit.token(role="writer", jti=7)).claims["role"] == "writer"


@pytest.mark.parametrize("proof", ["", "a.b.c"])
def test_WIT_20_a_token_alone_authenticates_nobody(wit: FakeWit, proof: str) -> None:
    token = wit.token()
    for text in (proof, token):
        with pytest.raises(WitSvidError):
            accept(token, text, wit.bundle(), AUDIENCE, NOW)


def test_WIT_20_a_proof_by_another_key_is_refused(wit: FakeWit) -> None:
    token = wit.token()
    thief = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(WitSvidError) as caught:
        accept(token, wit.proof(token, key=thief), wit.bundle(), AUDIENCE, NOW)
    assert str(caught.value) == "proof has an invalid signature"


def test_WIT_20_the_token_is_judged_as_well_as_the_proof(wit: FakeWit) -> None:
    token = FakeWit(workload_key=wit.workload_key).token()
    with pytest.raises(WitSvidError) as caught:
        accept(token, wit.proof(token), wit.bundle(), AUDIENCE, NOW)
    assert str(caught.value) == "token has an invalid signature"


def test_WIT_22_a_token_with_a_workload_proof_token_is_accepted(wit: FakeWit) -> None:
    token = wit.token()
    accepted = accept(token, wit.proof(token), wit.bundle(), AUDIENCE, NOW)
    assert (accepted.svid.id.uri, accepted.svid.token) == (ID, token)
    assert accepted.proof.expires_at == NOW + 30


def test_WIT_22_a_proof_is_bound_to_its_token_and_its_audience(wit: FakeWit) -> None:
    token, other = wit.token(), wit.token(jti="token-2")
    for proof, why in (
        (wit.proof(other), "proof is not of this WIT-SVID"),
        (wit.proof(token, aud="https://carol.example.org/"), "proof is for another audience"),
    ):
        with pytest.raises(WitSvidError) as caught:
            accept(token, proof, wit.bundle(), AUDIENCE, NOW)
        assert str(caught.value) == why


def test_WIT_23_a_proof_without_expiry_or_with_a_late_one_is_refused(wit: FakeWit) -> None:
    token = wit.token()
    for exp, why in (
        (None, "token missing exp claim"),
        (int(NOW) - 60, "token has expired"),
        (int(NOW) + 361, "proof lives longer than 300 s"),
    ):
        with pytest.raises(WitSvidError) as caught:
            accept(token, wit.proof(token, exp=exp), wit.bundle(), AUDIENCE, NOW)
        assert str(caught.value) == why
    accept(token, wit.proof(token, exp=int(NOW) + 360), wit.bundle(), AUDIENCE, NOW)


def test_WIT_25_a_published_key_has_use_and_the_tokens_kid(wit: FakeWit) -> None:
    (jwk,) = json.loads(wit.bundle().to_jwks())["keys"]
    assert (jwk["use"], jwk["kid"]) == ("wit-svid", part_of(wit.token(), 0)["kid"])
    read = Bundle.from_jwks(wit.trust_domain, wit.bundle().to_jwks())
    assert validate(wit.token(), read, NOW).id.uri == ID


def test_WIT_25_a_key_without_id_is_not_published(wit: FakeWit) -> None:
    nameless = replace(wit.authority, key_id="")
    with pytest.raises(BundleError, match="key without key ID"):
        Bundle(wit.trust_domain, wit_authorities=(nameless,)).to_jwks()


def test_WIT_27_a_key_of_another_use_validates_no_token(wit: FakeWit) -> None:
    keys = (JwtAuthority.from_key(wit.key_id, wit.key.public_key()),)
    bundle = Bundle(wit.trust_domain, jwt_authorities=keys)
    with pytest.raises(WitSvidError) as caught:
        validate(wit.token(), bundle, NOW)
    assert str(caught.value) == (
        'no WIT authority "wit-key-1" found for trust domain "example.org"'
    )


@pytest.mark.parametrize("use", ["jwt-svid", "x509-svid", "WIT-SVID", "sig", None])
def test_WIT_27_a_published_key_of_another_use_validates_no_token(
    wit: FakeWit, use: str | None
) -> None:
    document = json.loads(wit.bundle().to_jwks())
    document["keys"][0]["use"] = use
    bundle = Bundle.from_jwks(wit.trust_domain, json.dumps(document).encode())
    with pytest.raises(WitSvidError, match="no WIT authority"):
        validate(wit.token(), bundle, NOW)


def test_WIT_27_only_the_bundle_of_the_subjects_own_trust_domain_counts(wit: FakeWit) -> None:
    stranger = FakeWit("other.test")
    forged = stranger.token(sub=ID)
    why = 'no WIT bundle found for trust domain "example.org"'
    refused(stranger, forged, why)
    with pytest.raises(WitSvidError, match="invalid signature"):
        validate(forged, wit.bundle(), NOW)


def test_WIT_27_a_source_that_answers_with_another_domains_bundle_is_not_believed() -> None:
    stranger = FakeWit("other.test")

    class Liar:
        def bundle_for(self, _: TrustDomain) -> Bundle:
            return stranger.bundle()

    with pytest.raises(WitSvidError, match="no WIT bundle found"):
        validate(stranger.token(sub=ID), Liar(), NOW)


def test_WIT_27_the_signature_is_checked(wit: FakeWit) -> None:
    head, payload, _ = wit.token().split(".")
    signature = wit.token(jti="token-2").split(".")[2]
    refused(wit, f"{head}.{payload}.{signature}", "token has an invalid signature")


def test_WIT_27_a_key_of_a_jwt_svid_issuer_is_none_of_a_wit_svids(wit: FakeWit) -> None:
    ca = FakeCa(jwt_key=wit.key, key_id=wit.key_id)
    with pytest.raises(WitSvidError, match="no WIT authority"):
        validate(wit.token(), ca.bundle(), NOW)
