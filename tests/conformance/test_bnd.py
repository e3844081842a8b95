"""Checklist rows BND-*: reading and writing bundle documents."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from finial.spiffe.bundle import Bundle, JwtAuthority, WitAuthority
from finial.spiffe.errors import BundleError, JwtSvidError, X509SvidError
from finial.spiffe.jwt_svid import validate
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.ca import NOW, FakeCa

ID = "spiffe://example.org/a"
DOMAIN = TrustDomain("example.org")


def document(ca: FakeCa) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(ca.bundle().to_jwks())
    return members


def read(members: object) -> Bundle:
    return Bundle.from_jwks(DOMAIN, json.dumps(members).encode())


def trusts_everything(ca: FakeCa, bundle: Bundle) -> None:
    assert verify_chain(ca.issue(ID).chain, bundle, NOW).id.uri == ID
    assert validate(ca.jwt(ID, ["x"]), bundle, "x", NOW).id.uri == ID


def trusts_nothing(ca: FakeCa, bundle: Bundle) -> None:
    with pytest.raises(X509SvidError):
        verify_chain(ca.issue(ID).chain, bundle, NOW)
    with pytest.raises(JwtSvidError):
        validate(ca.jwt(ID, ["x"]), bundle, "x", NOW)


def test_BND_01_a_published_document_is_a_jwk_set() -> None:
    assert isinstance(document(FakeCa())["keys"], list)
    assert json.loads(Bundle(DOMAIN).to_jwks())["keys"] == []


def test_BND_02_a_document_with_only_keys_is_accepted() -> None:
    ca = FakeCa()
    bundle = read({"keys": document(ca)["keys"]})
    assert (bundle.sequence, bundle.refresh_hint) == (0, 0)
    trusts_everything(ca, bundle)


def test_BND_02_unknown_members_are_passed_over() -> None:
    ca = FakeCa()
    trusts_everything(ca, read(document(ca) | {"spiffe_new": {"a": 1}}))


def test_BND_03_the_sequence_is_published() -> None:
    assert json.loads(FakeCa().bundle(sequence=7).to_jwks())["spiffe_sequence"] == 7


@pytest.mark.parametrize("sequence", [2**53 + 1, 2**64 - 1])
def test_BND_04_the_sequence_is_safe_to_64_bits(sequence: int) -> None:
    bundle = FakeCa().bundle(sequence=sequence)
    assert Bundle.from_jwks(DOMAIN, bundle.to_jwks()).sequence == sequence


@pytest.mark.parametrize("sequence", [-1, 2**64])
def test_BND_04_a_sequence_out_of_64_bits_is_neither_written_nor_read(sequence: int) -> None:
    with pytest.raises(BundleError, match="spiffe_sequence"):
        FakeCa().bundle(sequence=sequence).to_jwks()
    with pytest.raises(BundleError, match="spiffe_sequence"):
        read({"keys": [], "spiffe_sequence": sequence})


def test_BND_05_the_refresh_hint_is_an_integer_of_seconds() -> None:
    text = FakeCa().bundle(refresh_hint=300).to_jwks()
    assert b'"spiffe_refresh_hint": 300' in text
    assert b"300.0" not in text
    assert b"refresh_hint" not in FakeCa().bundle(refresh_hint=0).to_jwks()


@pytest.mark.parametrize("hint", ["5m", 300.0, True, [300]])
def test_BND_05_another_refresh_hint_is_refused(hint: object) -> None:
    with pytest.raises(BundleError, match="spiffe_refresh_hint"):
        read({"keys": [], "spiffe_refresh_hint": hint})


@pytest.mark.parametrize("members", [{}, {"keys": None}, {"keys": {}}, {"keys": "x"}])
def test_BND_06_keys_must_be_present(members: object) -> None:
    with pytest.raises(BundleError, match="no authorities found"):
        read(members)


def test_BND_07_no_keys_is_a_document_that_revokes_everything() -> None:
    trusts_nothing(FakeCa(), read({"keys": []}))


def test_BND_08_no_usable_key_is_the_same_as_none() -> None:
    ca = FakeCa()
    keys = [jwk | {"use": "other"} for jwk in document(ca)["keys"]]
    bundle = read({"keys": keys})
    assert bundle == Bundle(DOMAIN)
    trusts_nothing(ca, bundle)


def test_BND_09_each_published_key_has_kty_and_use() -> None:
    for jwk in document(FakeCa())["keys"]:
        assert (jwk["kty"], jwk["use"] in {"x509-svid", "jwt-svid"}) == ("EC", True)


@pytest.mark.parametrize("kty", ["XYZ", "ec", None, 1, ["EC"]])
def test_BND_10_a_key_of_unknown_kty_is_passed_over(kty: object) -> None:
    ca, other = FakeCa(), FakeCa(key_id="other")
    strange = [jwk | {"kty": kty} for jwk in document(other)["keys"]]
    bundle = read({"keys": [*strange, *document(ca)["keys"]]})
    trusts_everything(ca, bundle)
    trusts_nothing(other, bundle)


@pytest.mark.parametrize("use", [None, "X509-SVID", "Jwt-Svid", "sig", 1, ["jwt-svid"]])
def test_BND_11_a_key_of_missing_or_unknown_use_is_passed_over(use: object) -> None:
    ca, other = FakeCa(), FakeCa(key_id="other")
    strange = [jwk | {"use": use} for jwk in document(other)["keys"]]
    bundle = read({"keys": [*strange, *document(ca)["keys"]]})
    trusts_everything(ca, bundle)
    trusts_nothing(other, bundle)


@pytest.mark.parametrize(
    "changes",
    [
        {"x": "AA"},
        {"x": None},
        {"x": "!"},
        {"y": 5},
        {"crv": "P-192"},
        {"crv": ["P-256"]},
        {"kid": None},
        {"kid": ""},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": "_" * 4000, "e": "AQAB"},
        {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43},
    ],
)
def test_BND_11_a_key_that_cannot_be_used_is_passed_over_and_named(changes: dict[str, Any]) -> None:
    ca, other = FakeCa(), FakeCa(key_id="other")
    broken = document(other)["keys"][1] | changes
    data = json.dumps({"keys": [broken, *document(ca)["keys"]]}).encode()
    bundle, complaints = Bundle.from_jwks_with_complaints(DOMAIN, data)
    trusts_everything(ca, bundle)
    assert len(complaints) == 1
    assert complaints[0].startswith("key 0: ")


def test_BND_11_a_certificate_that_cannot_be_read_is_passed_over() -> None:
    ca = FakeCa()
    broken = document(FakeCa())["keys"][0]
    for x5c in ("!", base64.b64encode(b"\x30\x03\x02\x01\x01").decode(), ""):
        keys = [broken | {"x5c": [x5c]}, *document(ca)["keys"]]
        trusts_everything(ca, read({"keys": keys}))


def test_BND_12_a_published_key_has_no_other_parameters() -> None:
    x509_jwk, jwt_jwk = document(FakeCa())["keys"]
    assert x509_jwk.keys() == {"use", "kty", "crv", "x", "y", "x5c"}
    assert jwt_jwk.keys() == {"use", "kty", "crv", "x", "y", "kid"}
    assert document(FakeCa()).keys() == {"keys", "spiffe_sequence", "spiffe_refresh_hint"}


def test_BND_19_keys_of_one_use_never_validate_another() -> None:
    ca = FakeCa()
    key = ca.jwt_key.public_key()
    bundle = Bundle(DOMAIN, wit_authorities=(WitAuthority.from_key(ca.key_id, key),))
    read_back = Bundle.from_jwks(DOMAIN, bundle.to_jwks())
    assert read_back == bundle
    assert read_back.jwt_authorities == ()
    trusts_nothing(ca, read_back)


def test_BND_19_a_jwt_authority_is_no_wit_authority_with_the_same_key() -> None:
    key = FakeCa().jwt_key.public_key()
    authorities: list[object] = [JwtAuthority.from_key("k", key), WitAuthority.from_key("k", key)]
    assert authorities[0] != authorities[1]


def test_WIT_26_a_key_id_is_published_once_over_jwt_and_wit_keys() -> None:
    key = FakeCa().jwt_key.public_key()
    jwt_key, wit_key = JwtAuthority.from_key("k", key), WitAuthority.from_key("k", key)
    for bundle in (
        Bundle(DOMAIN, jwt_authorities=(jwt_key,), wit_authorities=(wit_key,)),
        Bundle(DOMAIN, jwt_authorities=(jwt_key, jwt_key)),
    ):
        with pytest.raises(BundleError, match='key ID "k" is used twice'):
            bundle.to_jwks()


def test_JWT_20_a_key_without_id_is_not_published() -> None:
    nameless = JwtAuthority.from_key("", FakeCa().jwt_key.public_key())
    with pytest.raises(BundleError, match="key without key ID"):
        Bundle(DOMAIN, jwt_authorities=(nameless,)).to_jwks()


def test_WL_27_the_workload_apis_jwt_bundle_has_jwt_keys_only_and_no_use() -> None:
    ca = FakeCa()
    keys = json.loads(ca.bundle().jwt_jwks())
    assert keys.keys() == {"keys"}
    assert [jwk.keys() for jwk in keys["keys"]] == [{"kty", "crv", "x", "y", "kid"}]
