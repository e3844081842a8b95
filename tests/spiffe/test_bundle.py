"""Bundles: PEM, sets of them, and documents beyond the checklist's rows."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from finial.spiffe.bundle import Bundle, BundleSet, JwtAuthority, X509Authority
from finial.spiffe.bundle.reading import MAX_DOCUMENT, MAX_KEYS, read_members
from finial.spiffe.errors import BundleError
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.ca import FakeCa, PrivateKey

DOMAIN = TrustDomain("example.org")


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-256", "P-521", "RSA", "Ed25519"],
)
def test_what_is_written_is_read_back(key: PrivateKey) -> None:
    jwt_key = None if isinstance(key, ed25519.Ed25519PrivateKey) else key
    bundle = FakeCa(key=key, jwt_key=jwt_key).bundle(FakeCa(key_id="second"), sequence=9)
    assert Bundle.from_jwks(DOMAIN, bundle.to_jwks()) == bundle


def test_coordinates_keep_their_leading_zeros() -> None:
    for _ in range(600):
        key = ec.generate_private_key(ec.SECP256R1())
        if key.public_key().public_numbers().x >> 248 == 0:
            break
    bundle = FakeCa(jwt_key=key).bundle()
    assert len(json.loads(bundle.jwt_jwks())["keys"][0]["x"]) == 43
    assert Bundle.from_jwks(DOMAIN, bundle.to_jwks()) == bundle


def test_pem_is_read_with_text_between_and_without_repeats() -> None:
    first, second = FakeCa(), FakeCa()
    pem = first.bundle(second).to_pem()
    bundle = Bundle.from_pem(
        DOMAIN, b"a comment\n" + pem + b"\nanother\n" + first.bundle().to_pem()
    )
    assert bundle.x509_der() == first.der + second.der
    assert bundle.has_x509_authority(second.der)
    assert not bundle.has_x509_authority(FakeCa().der)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ],
)
def test_a_file_without_a_whole_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match="PEM"):
        Bundle.from_pem(DOMAIN, data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not UTF-8"),
        (b'{"keys":[],"keys":[]}', "twice"),
        (b'{"keys":[{"kty":"EC","kty":"RSA"}]}', "twice"),
        (b'{"keys":[1]}', "key 0 is not a JSON object"),
        (b'{"keys":[],"a":NaN}', "NaN"),
        (b'{"keys":' + b"[" * 100_000, "too deeply"),
        (b" " * (MAX_DOCUMENT + 1), "larger than"),
    ],
)
def test_what_is_no_jwk_set_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(BundleError, match=why):
        Bundle.from_jwks(DOMAIN, data)


def test_of_keys_with_one_id_the_first_counts() -> None:
    ca, other = FakeCa(), FakeCa()
    keys = [json.loads(c.bundle().to_jwks())["keys"][1] for c in (ca, other)]
    bundle = Bundle.from_jwks(DOMAIN, json.dumps({"keys": keys}).encode())
    assert bundle.jwt_authorities == ca.bundle().jwt_authorities


def test_a_certificate_given_twice_is_one_authority() -> None:
    keys = json.loads(FakeCa().bundle().to_jwks())["keys"]
    bundle = Bundle.from_jwks(DOMAIN, json.dumps({"keys": keys + keys[:1]}).encode())
    assert len(bundle.x509_authorities) == 1


class Counted(str):
    """A text that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_a_key_is_not_compared_with_each_key_before_it() -> None:
    (_, key, *_) = json.loads(FakeCa().bundle().to_jwks())["keys"]
    keys = [key | {"kid": Counted(n)} for n in range(1000)]
    before = Counted.compared
    assert len(read_members({"keys": keys}).jwt_authorities) == 1000
    assert Counted.compared - before < 5000


def test_a_certificate_is_not_compared_with_each_certificate_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[None] = []
    equal = X509Authority.__eq__

    def counted(self: X509Authority, other: object) -> bool:
        compared.append(None)
        return equal(self, other)

    keys = [json.loads(FakeCa().bundle().to_jwks())["keys"][0] for _ in range(40)]
    monkeypatch.setattr(X509Authority, "__eq__", counted)
    assert len(read_members({"keys": keys}).x509_authorities) == 40
    assert len(compared) < 40


def test_a_document_with_too_many_keys_is_refused() -> None:
    most = json.dumps({"keys": [{}] * MAX_KEYS}).encode()
    assert not Bundle.from_jwks(DOMAIN, most).jwt_authorities
    with pytest.raises(BundleError, match="more than 4096 keys"):
        Bundle.from_jwks(DOMAIN, json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode())


@pytest.mark.parametrize(("count", "said"), [(8, 8), (9, 9), (100, 9)])
def test_of_many_keys_that_are_passed_over_the_first_are_named_and_the_others_counted(
    count: int, said: int
) -> None:
    data = json.dumps({"keys": [{}] * count}).encode()
    _, complaints = Bundle.from_jwks_with_complaints(DOMAIN, data)
    assert len(complaints) == said
    assert complaints[:8] == tuple(f"key {n}: unknown kty" for n in range(8))
    assert complaints[8:] == ((f"and {count - 8} more",) if count > 8 else ())


def test_authorities_are_read_from_their_bytes() -> None:
    ca = FakeCa()
    authority = X509Authority.from_der(ca.der, tainted=True)
    assert authority.tainted
    assert len(authority.authority_id) == 40
    (key,) = ca.bundle().jwt_authorities
    assert JwtAuthority.from_spki(key.key_id, key.spki_der) == key
    with pytest.raises(BundleError, match="unable to parse X.509 authority"):  # noqa: RUF043
        X509Authority.from_der(b"x")
    with pytest.raises(BundleError, match="missing key ID"):
        JwtAuthority.from_spki("", key.spki_der)
    with pytest.raises(BundleError, match='key "k": not a supported public key'):
        JwtAuthority.from_spki("k", b"x")


def test_a_set_answers_for_each_trust_domain_with_its_own_bundle() -> None:
    ours, theirs = FakeCa("example.org").bundle(), FakeCa("example.com").bundle()
    bundles = BundleSet([ours, theirs])
    assert bundles.bundle_for(DOMAIN) is ours
    assert bundles[TrustDomain("example.com")] is theirs
    assert bundles.bundle_for(TrustDomain("example.net")) is None
    assert len(bundles) == len(list(bundles)) == 2


def test_a_bundle_is_a_source_for_its_own_trust_domain_only() -> None:
    bundle = FakeCa().bundle()
    assert bundle.bundle_for(DOMAIN) is bundle
    assert bundle.bundle_for(TrustDomain("example.com")) is None


def test_of_several_certificates_the_first_counts_whatever_the_others_are() -> None:
    ca = FakeCa()
    (jwk, *_) = json.loads(ca.bundle().to_jwks())["keys"]
    for others in ([7], [None, "x"], jwk["x5c"]):
        data = json.dumps({"keys": [jwk | {"x5c": jwk["x5c"] + others}]}).encode()
        assert Bundle.from_jwks(DOMAIN, data).x509_der() == ca.der
        data = json.dumps({"keys": [jwk | {"x5c": [7, *jwk["x5c"]]}]}).encode()
        assert not Bundle.from_jwks(DOMAIN, data).x509_authorities


@pytest.mark.parametrize("change", ["\n", " ", "-", "=", "é"])
def test_a_certificate_is_plain_base64_without_anything_in_between(change: str) -> None:
    """RFC 7517 section 4.7."""
    (jwk, *_) = json.loads(FakeCa().bundle().to_jwks())["keys"]
    text = jwk["x5c"][0]
    data = json.dumps({"keys": [jwk | {"x5c": [text[:64] + change + text[64:]]}]}).encode()
    bundle, complaints = Bundle.from_jwks_with_complaints(DOMAIN, data)
    assert not bundle.x509_authorities
    assert complaints == ("key 0: x5c is not base64",)


def test_keys_are_kept_in_their_order_whatever_their_ids() -> None:
    named = [FakeCa(key_id=name).bundle() for name in ("b", "c", "a")]
    keys = [json.loads(bundle.to_jwks())["keys"][1] for bundle in named]
    bundle = Bundle.from_jwks(DOMAIN, json.dumps({"keys": keys}).encode())
    assert [authority.key_id for authority in bundle.jwt_authorities] == ["b", "c", "a"]


def test_an_authority_whose_key_is_not_taken_is_not_published() -> None:
    bundle = FakeCa(key=ec.generate_private_key(ec.SECP256K1())).bundle()
    with pytest.raises(BundleError, match=r"X\.509 authority: elliptic curve secp256k1"):
        bundle.to_jwks()
