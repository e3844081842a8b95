"""Checklist rows JWT-*: validators reject, issuers write what they must."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from finial.spiffe import base64url
from finial.spiffe.bundle import Bundle, BundleSet, JwtAuthority
from finial.spiffe.errors import JwtSvidError
from finial.spiffe.jose.algorithm import ALGORITHMS, algorithm_for
from finial.spiffe.jwt_svid import JwtSvid, encode, parse_unverified, validate
from tests.fakes.ca import NOW, FakeCa, PrivateKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.spiffe.trust_domain import TrustDomain

ID = "spiffe://example.org/a"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS: dict[str, PrivateKey] = {
    **{f"{kind}{bits}": RSA_KEY for kind in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
}


def check(ca: FakeCa, token: str, audience: str = "x", now: float = NOW) -> JwtSvid:
    return validate(token, ca.bundle(), audience, now)


def refused(ca: FakeCa, token: str, why: str, audience: str = "x") -> None:
    with pytest.raises(JwtSvidError, match=why):
        check(ca, token, audience)


def part(members: object) -> str:
    return base64url.encode(json.dumps(members).encode())


def signer(key: PrivateKey) -> Callable[[bytes], bytes]:
    return lambda data: algorithm_for(key).sign(key, data)


def encoded(**changes: Any) -> str:
    key = KEYS["ES256"]
    honest = {"sub": ID, "aud": ["x"], "exp": int(NOW) + 300, "iat": int(NOW)} | changes
    claims = {name: value for name, value in honest.items() if value is not None}
    return encode(claims, "key", "ES256", signer(key))


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(base64url.decode(token.split(".", maxsplit=1)[0].encode()))
    return header


def test_JWT_01_a_token_is_three_parts_of_base64url() -> None:
    parts = encoded().split(".")
    assert len(parts) == 3
    for text in parts:
        base64url.decode(text.encode())


def test_JWT_01_a_token_of_other_than_three_parts_is_refused() -> None:
    ca = FakeCa()
    header, payload, signature = ca.jwt(ID, ["x"]).split(".")
    for parts in ([header], [header, payload], [header, payload, signature, signature]):
        refused(ca, ".".join(parts), "unable to parse JWT token: not three parts of base64url")


def test_JWT_02_json_serialization_is_refused() -> None:
    ca = FakeCa()
    protected, payload, signature = ca.jwt(ID, ["x"]).split(".")
    general = {
        "payload": payload,
        "signatures": [{"protected": protected, "signature": signature}],
    }
    flat = {"payload": payload, "protected": protected, "signature": signature}
    for document in (general, flat):
        refused(ca, json.dumps(document), "unable to parse JWT token")


def test_JWT_03_the_header_is_exactly_alg_kid_and_typ() -> None:
    assert header_of(encoded()) == {"alg": "ES256", "kid": "key", "typ": "JWT"}


@pytest.mark.parametrize("alg", ["none", "HS256", "EdDSA", ""])
def test_JWT_04_other_algorithms_are_not_written(alg: str) -> None:
    with pytest.raises(JwtSvidError, match="not an algorithm"):
        encode({"sub": ID, "aud": ["x"], "exp": 1}, "key", alg, lambda _: b"")


def test_JWT_04_the_algorithm_follows_from_the_key() -> None:
    assert algorithm_for(RSA_KEY).name == "RS256"
    for name in ("ES256", "ES384", "ES512"):
        assert algorithm_for(KEYS[name]).name == name
    with pytest.raises(TypeError):
        algorithm_for(ed25519.Ed25519PrivateKey.generate())


@pytest.mark.parametrize("alg", sorted(KEYS))
def test_JWT_05_each_of_the_nine_algorithms_is_accepted(alg: str) -> None:
    ca = FakeCa(jwt_key=KEYS[alg])
    assert check(ca, ca.jwt(ID, ["x"], alg=alg)).id.uri == ID


@pytest.mark.parametrize("alg", sorted(KEYS))
def test_JWT_05_tokens_of_another_implementation_are_accepted(alg: str) -> None:
    ca = FakeCa(jwt_key=KEYS[alg])
    claims = {"sub": ID, "aud": ["x"], "exp": int(NOW) + 300}
    token = pyjwt.encode(claims, KEYS[alg], algorithm=alg, headers={"kid": ca.key_id})
    assert check(ca, token).id.uri == ID


@pytest.mark.parametrize("alg", sorted(KEYS))
def test_JWT_05_another_implementation_accepts_our_tokens(alg: str) -> None:
    ca = FakeCa(jwt_key=KEYS[alg])
    claims = pyjwt.decode(
        ca.jwt(ID, ["x"], alg=alg),
        key=ca.bundle().jwt_authorities[0].public_key,
        algorithms=[alg],
        audience="x",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["sub"] == ID


def test_JWT_05_the_algorithm_none_is_refused() -> None:
    ca = FakeCa()
    _, payload, _ = ca.jwt(ID, ["x"]).split(".")
    for header in ({"alg": "none", "kid": ca.key_id}, {"alg": "None", "kid": ca.key_id}):
        refused(ca, f"{part(header)}.{payload}.", "unexpected signature algorithm")


def test_JWT_05_a_mac_keyed_with_the_public_key_is_refused() -> None:
    ca = FakeCa(jwt_key=RSA_KEY)
    _, payload, _ = ca.jwt(ID, ["x"]).split(".")
    data = f"{part({'alg': 'HS256', 'kid': ca.key_id})}.{payload}"
    for form in (Encoding.PEM, Encoding.DER):
        public = RSA_KEY.public_key().public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
        mac = hmac.digest(public, data.encode(), hashlib.sha256)
        refused(ca, f"{data}.{base64url.encode(mac)}", "unexpected signature algorithm")


@pytest.mark.parametrize("alg", ["EdDSA", "ES256K", "es256", "RS1", 256, None, ["ES256"], {}])
def test_JWT_05_any_other_algorithm_is_refused(alg: object) -> None:
    ca = FakeCa()
    _, payload, signature = ca.jwt(ID, ["x"]).split(".")
    header = {"alg": alg, "kid": ca.key_id, "typ": "JWT"}
    refused(ca, f"{part(header)}.{payload}.{signature}", "unexpected signature algorithm")


def test_JWT_05_the_algorithm_is_judged_before_anything_else() -> None:
    refused(FakeCa(), f"{part({'alg': 'none'})}.!!!.???", "unexpected signature algorithm")
    refused(FakeCa(), f"{part({'alg': 'none', 'typ': 'x', 'crit': 1})}..", "unexpected signature")


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("ES256", RSA_KEY),
        ("RS256", KEYS["ES256"]),
        ("PS256", KEYS["ES256"]),
        ("ES256", KEYS["ES384"]),
        ("ES384", KEYS["ES256"]),
        ("ES512", KEYS["ES256"]),
    ],
)
def test_JWT_06_a_key_of_another_kind_under_the_same_kid_is_refused(
    alg: str, key: PrivateKey
) -> None:
    ca = FakeCa(jwt_key=key)
    refused(ca, ca.jwt(ID, ["x"], key=KEYS[alg], alg=alg), "does not fit the key")


def test_JWT_06_an_algorithm_is_of_one_curve_only() -> None:
    key = KEYS["ES256"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(key.sign(b"data", ec.ECDSA(hashes.SHA512())))
    signature = r.to_bytes(66, "big") + s.to_bytes(66, "big")
    assert not ALGORITHMS["ES512"].verify(key.public_key(), signature, b"data")


def test_JWT_06_keys_that_do_not_fit_sign_and_verify_nothing() -> None:
    for name, algorithm in ALGORITHMS.items():
        key = RSA_KEY if name.startswith("ES") else KEYS["ES256"]
        assert not algorithm.verify(key.public_key(), b"x" * 64, b"")
        with pytest.raises(TypeError):
            algorithm.sign(key, b"")


@pytest.mark.parametrize("bits", [1024])
def test_JWT_06_a_key_too_small_validates_nothing(bits: int) -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    ca = FakeCa(jwt_key=small)
    refused(ca, ca.jwt(ID, ["x"]), "1024 bits")


@pytest.mark.parametrize("kid", [None, "", 5, ["jwt-key-1"]])
def test_JWT_07_a_token_without_key_id_is_refused(kid: object) -> None:
    ca = FakeCa()
    refused(ca, ca.jwt(ID, ["x"], header={"kid": kid}), "token header missing key id")


def test_JWT_07_a_token_is_not_written_without_key_id() -> None:
    with pytest.raises(JwtSvidError, match="missing key ID"):
        encode({"sub": ID, "aud": ["x"], "exp": 1}, "", "ES256", lambda _: b"")


@pytest.mark.parametrize("typ", [None, "JWT", "JOSE"])
def test_JWT_08_typ_may_be_absent_or_jwt_or_jose(typ: str | None) -> None:
    ca = FakeCa()
    assert check(ca, ca.jwt(ID, ["x"], header={"typ": typ})).id.uri == ID


@pytest.mark.parametrize("typ", ["jwt", "at+jwt", "wit+jwt", "", 1, ["JWT"], {"JWT": 1}])
def test_JWT_08_any_other_typ_is_refused(typ: object) -> None:
    ca = FakeCa()
    refused(ca, ca.jwt(ID, ["x"], header={"typ": typ}), "not equal to either JWT or JOSE")


def test_JWT_08_critical_headers_are_refused() -> None:
    ca = FakeCa()
    refused(ca, ca.jwt(ID, ["x"], header={"crit": ["b64"], "b64": False}), "critical")
    assert check(ca, ca.jwt(ID, ["x"], header={"foo": 1})).id.uri == ID


@pytest.mark.parametrize("sub", [None, "", 7, [ID]])
def test_JWT_09_a_token_without_subject_is_refused(sub: object) -> None:
    ca = FakeCa()
    refused(ca, ca.jwt(ID, ["x"], sub=sub), "token missing subject claim")


@pytest.mark.parametrize("sub", ["alice", "https://example.org/a", "spiffe://example.org/a/"])
def test_JWT_09_a_subject_that_is_no_spiffe_id_is_refused(sub: str) -> None:
    ca = FakeCa()
    refused(ca, ca.jwt(sub, ["x"]), "invalid subject claim: ")


def test_JWT_09_and_10_and_14_a_token_is_not_written_without_its_claims() -> None:
    for sub in (None, "alice"):
        with pytest.raises(JwtSvidError, match="invalid SPIFFE ID"):
            encoded(sub=sub)
    for aud in (None, [], "x", [""], [1]):
        with pytest.raises(JwtSvidError, match="at least one audience is required"):
            encoded(aud=aud)
    for exp in (None, 1.5, "1", True):
        with pytest.raises(JwtSvidError, match="exp is not an integer"):
            encoded(exp=exp)


@pytest.mark.parametrize("aud", [None, [], ""])
def test_JWT_11_a_token_without_audience_is_refused(aud: object) -> None:
    ca = FakeCa()
    refused(ca, ca.jwt(ID, ["x"], aud=aud), "aud claim|expected audience")


@pytest.mark.parametrize("aud", [7, {"x": 1}, ["x", 7], [["x"]], True])
def test_JWT_11_a_malformed_audience_is_refused(aud: object) -> None:
    ca = FakeCa()
    refused(ca, ca.jwt(ID, ["x"], aud=aud), "invalid aud claim")


@pytest.mark.parametrize("aud", ["a", ["b", "a"], ["a"]])
def test_JWT_12_the_validators_name_among_the_audience_is_accepted(aud: str | list[str]) -> None:
    ca = FakeCa()
    svid = check(ca, ca.jwt(ID, aud), audience="a")
    assert "a" in svid.audience
    assert svid.claims["aud"] == list(svid.audience)


def test_JWT_12_an_audience_of_others_is_refused() -> None:
    ca = FakeCa()
    text = r'^expected audience in \["b"\] \(audience=\["a"\]\)$'
    refused(ca, ca.jwt(ID, ["a"]), text, audience="b")
    refused(ca, ca.jwt(ID, "a"), text, audience="b")
    refused(ca, ca.jwt(ID, ["abc"]), "expected audience", audience="b")
    refused(ca, ca.jwt(ID, "abc"), "expected audience", audience="b")


def test_JWT_12_a_validator_without_a_name_accepts_nothing() -> None:
    ca = FakeCa()
    refused(ca, ca.jwt(ID, ["", "x"]), "audience must be specified", audience="")


def test_JWT_15_a_token_without_exp_is_refused() -> None:
    ca = FakeCa()
    refused(ca, ca.jwt(ID, ["x"], exp=None), "token missing exp claim")


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["1900000000", True, [1], {}])
def test_JWT_15_a_time_that_is_no_number_is_refused(name: str, value: object) -> None:
    ca = FakeCa()
    claims: dict[str, Any] = {name: value}
    refused(ca, ca.jwt(ID, ["x"], **claims), f"invalid {name} claim")


@pytest.mark.parametrize("number", ["1e999", "NaN", "Infinity", "-Infinity", "9" * 400])
def test_JWT_15_a_time_beyond_all_numbers_is_refused(number: str) -> None:
    ca = FakeCa()
    payload = f'{{"sub":"{ID}","aud":["x"],"exp":{number}}}'
    text = f"{part({'alg': 'ES256', 'kid': ca.key_id})}.{base64url.encode(payload.encode())}"
    token = f"{text}.{base64url.encode(algorithm_for(ca.jwt_key).sign(ca.jwt_key, text.encode()))}"
    refused(ca, token, "unable to parse JWT token: payload")


@pytest.mark.parametrize(("late", "valid"), [(59, True), (60, False), (600, False)])
def test_JWT_16_an_expired_token_is_refused_after_a_minutes_leeway(late: int, valid: bool) -> None:
    ca = FakeCa()
    token = ca.jwt(ID, ["x"], exp=int(NOW) - late)
    if valid:
        assert check(ca, token).expires_at == int(NOW) - late
    else:
        refused(ca, token, "^token has expired$")


@pytest.mark.parametrize(("name", "why"), [("nbf", "not valid yet"), ("iat", "in the future")])
@pytest.mark.parametrize(("early", "valid"), [(60, True), (61, False), (600, False)])
def test_JWT_16_a_token_of_the_future_is_refused_but_for_a_minutes_leeway(
    name: str, why: str, early: int, valid: bool
) -> None:
    ca = FakeCa()
    claims: dict[str, Any] = {name: int(NOW) + early}
    token = ca.jwt(ID, ["x"], **claims)
    if valid:
        assert check(ca, token).id.uri == ID
    else:
        refused(ca, token, why)


def test_JWT_16_the_leeway_is_the_callers() -> None:
    ca = FakeCa()
    token = ca.jwt(ID, ["x"], exp=int(NOW) - 1)
    with pytest.raises(JwtSvidError, match="expired"):
        validate(token, ca.bundle(), "x", NOW, leeway=0)


def test_JWT_17_private_claims_are_kept() -> None:
    ca = FakeCa()
    svid = check(ca, ca.jwt(ID, ["x"], jti="j", iss="https://i", role={"a": [1, 2.5, None]}))
    assert svid.claims["role"] == {"a": [1, 2.5, None]}
    assert (svid.claims["jti"], svid.claims["iss"]) == ("j", "https://i")


def test_JWT_17_a_token_may_be_read_without_being_judged() -> None:
    ca = FakeCa()
    svid = parse_unverified(ca.jwt(ID, ["x"], exp=5, iat=3, header={"kid": "other"}))
    assert (svid.expires_at, svid.issued_at, svid.key_id) == (5, 3, "other")
    with pytest.raises(JwtSvidError, match="exp"):
        parse_unverified(ca.jwt(ID, ["x"], exp=None))


def test_JWT_18_another_trust_domains_key_proves_no_subject_of_ours() -> None:
    ours, theirs = FakeCa("example.org", key_id="k"), FakeCa("example.com", key_id="k")
    lie = theirs.jwt(ID, ["x"])
    for bundles in (ours.bundles(theirs), theirs.bundles(ours)):
        with pytest.raises(JwtSvidError, match="invalid signature"):
            validate(lie, bundles, "x", NOW)


def test_JWT_18_a_subject_whose_bundle_is_not_known_is_not_trusted() -> None:
    theirs = FakeCa("example.com")
    refused(theirs, theirs.jwt(ID, ["x"]), 'no JWT bundle found for trust domain "example.org"')


def test_JWT_18_a_source_that_answers_with_another_domains_bundle_is_not_believed() -> None:
    ca = FakeCa("example.com")

    class Careless(BundleSet):
        def bundle_for(self, trust_domain: TrustDomain) -> Bundle | None:  # noqa: ARG002
            return ca.bundle()

    with pytest.raises(JwtSvidError, match="no JWT bundle found"):
        validate(ca.jwt(ID, ["x"]), Careless(), "x", NOW)


def test_JWT_18_the_signature_is_checked() -> None:
    ca = FakeCa()
    header, payload, signature = ca.jwt(ID, ["x"]).split(".")
    raw = base64url.decode(signature.encode())
    longer = raw[:32] + b"\0" + raw[32:]
    for wrong in (b"", raw[:-1], raw + b"\0", longer, bytes(64), raw[:-1] + bytes([raw[-1] ^ 1])):
        refused(ca, f"{header}.{payload}.{base64url.encode(wrong)}", "invalid signature")


def jwks(*keys: dict[str, Any]) -> Bundle:
    ca = FakeCa()
    return Bundle.from_jwks(ca.trust_domain, json.dumps({"keys": list(keys)}).encode())


def test_JWT_20_a_published_key_has_use_and_the_tokens_kid() -> None:
    ca = FakeCa()
    published = json.loads(ca.bundle().to_jwks())["keys"]
    (key,) = [jwk for jwk in published if jwk["use"] == "jwt-svid"]
    assert key["kid"] == header_of(ca.jwt(ID, ["x"]))["kid"]


@pytest.mark.parametrize("use", ["x509-svid", "wit-svid", None, "JWT-SVID", "sig"])
def test_JWT_21_a_key_of_another_use_validates_no_token(use: str | None) -> None:
    ca = FakeCa()
    jwk = json.loads(ca.bundle().to_jwks())["keys"][1]
    assert jwk["kid"] == ca.key_id
    token = ca.jwt(ID, ["x"])
    assert validate(token, jwks(jwk), "x", NOW).id.uri == ID
    other = {name: value for name, value in (jwk | {"use": use}).items() if value is not None}
    with pytest.raises(JwtSvidError, match='no JWT authority "jwt-key-1" found'):
        validate(token, jwks(other), "x", NOW)


def test_JWT_22_a_bundle_of_x509_authorities_trusts_no_token() -> None:
    ca = FakeCa()
    x509_only = Bundle(ca.trust_domain, x509_authorities=ca.bundle().x509_authorities)
    with pytest.raises(JwtSvidError, match="no JWT authority"):
        validate(ca.jwt(ID, ["x"]), x509_only, "x", NOW)


def test_JWT_22_the_kid_is_compared_with_case() -> None:
    ca = FakeCa(key_id="Key")
    refused(ca, ca.jwt(ID, ["x"], header={"kid": "key"}), 'no JWT authority "key"')
    assert isinstance(ca.bundle().find_jwt_authority("Key"), JwtAuthority)
