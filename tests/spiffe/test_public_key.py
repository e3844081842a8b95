"""Which keys are taken, to the bit, and how they are spelled."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from finial.spiffe import base64url, public_key


def rsa_key(bits: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    """A modulus of exactly so many bits; whether it has two prime factors nobody can see."""
    return rsa.RSAPublicNumbers(exponent, (1 << (bits - 1)) + 1).public_key()


@pytest.mark.parametrize("bits", [2048, 8192])
def test_rsa_keys_of_2048_to_8192_bits_are_taken(bits: int) -> None:
    key = rsa_key(bits)
    assert public_key.accept(key) is key
    assert public_key.from_jwk(dict(public_key.to_jwk(key))) == key


@pytest.mark.parametrize("bits", [2047, 8193])
def test_rsa_keys_of_one_bit_less_or_more_are_refused(bits: int) -> None:
    key = rsa_key(bits)
    with pytest.raises(ValueError, match=f"RSA key has {bits} bits, not 2048 to 8192"):
        public_key.accept(key)
    with pytest.raises(ValueError, match="RSA key"):
        public_key.from_jwk(dict(public_key.to_jwk(key)))


def test_a_modulus_too_large_is_refused_before_it_is_made_a_key() -> None:
    jwk = dict(public_key.to_jwk(rsa_key(8193)))
    for broken in (jwk, jwk | {"e": "Ag"}):  # an even exponent makes no key at all
        with pytest.raises(ValueError, match=r"^RSA key is too large$"):
            public_key.from_jwk(broken)


def test_an_exponent_has_at_most_33_bits() -> None:
    largest = rsa_key(2048, (1 << 33) - 1)
    assert public_key.accept(largest) is largest
    assert public_key.from_jwk(dict(public_key.to_jwk(largest))) == largest
    larger = rsa_key(2048, (1 << 33) + 1)
    with pytest.raises(ValueError, match="exponent is too large"):
        public_key.accept(larger)
    with pytest.raises(ValueError, match=r"^RSA key is too large$"):
        public_key.from_jwk(dict(public_key.to_jwk(larger)))


@pytest.mark.parametrize(
    ("curve", "characters"), [(ec.SECP256R1(), 43), (ec.SECP384R1(), 64), (ec.SECP521R1(), 88)]
)
def test_coordinates_are_as_long_as_the_curve_asks(
    curve: ec.EllipticCurve, characters: int
) -> None:
    """RFC 7518 section 6.2.1.2; small private keys whose coordinates are short are among them."""
    for number in range(1, 40):
        key = ec.derive_private_key(number, curve).public_key()
        jwk = public_key.to_jwk(key)
        assert (len(jwk["x"]), len(jwk["y"])) == (characters, characters)
        assert public_key.from_jwk(dict(jwk)) == key


def test_rsa_numbers_are_written_without_leading_zero_octets() -> None:
    """RFC 7518 section 6.3.1.1."""
    for exponent, text in ((3, "Aw"), (65537, "AQAB"), (0xFFFF, "__8"), (0x1FFFFFF, "Af___w")):
        assert public_key.to_jwk(rsa_key(2048, exponent))["e"] == text
    assert len(public_key.to_jwk(rsa_key(2048))["n"]) == 342
    assert len(public_key.to_jwk(rsa_key(2049))["n"]) == 343


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "AQ"),
        (0xFF, "_w"),
        (0x100, "AQA"),
        (0x1FF, "Af8"),
        (0xFFFF, "__8"),
        (1 << 64, "AQAAAAAAAAAA"),
    ],
)
def test_numbers_have_as_few_octets_as_they_need(number: int, text: str) -> None:
    assert base64url.encode_number(number) == text


def test_a_jwk_has_the_members_of_its_kind_and_nothing_else() -> None:
    ed = ed25519.Ed25519PrivateKey.generate().public_key()
    p256 = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert public_key.to_jwk(ed).keys() == {"kty", "crv", "x"}
    assert public_key.to_jwk(p256).keys() == {"kty", "crv", "x", "y"}
    assert public_key.to_jwk(rsa_key(2048)).keys() == {"kty", "n", "e"}


@pytest.mark.parametrize("value", [None, 7, "", "é", ["AQAB"], "AQAB=", "AQ B"])
@pytest.mark.parametrize("member", ["n", "e", "x", "y", "crv", "kty"])
def test_a_member_that_is_missing_or_malformed_makes_no_key(member: str, value: Any) -> None:
    kind: Any = ec.generate_private_key(ec.SECP256R1()).public_key()
    jwk: dict[str, Any] = dict(public_key.to_jwk(rsa_key(2048) if member in "ne" else kind))
    with pytest.raises(ValueError):
        public_key.from_jwk(jwk | {member: value})
    del jwk[member]
    with pytest.raises(ValueError):
        public_key.from_jwk(jwk)


def test_a_point_that_is_not_on_the_curve_makes_no_key() -> None:
    jwk: dict[str, Any] = dict(
        public_key.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())
    )
    with pytest.raises(ValueError):
        public_key.from_jwk(jwk | {"x": jwk["y"], "y": jwk["x"]})
    with pytest.raises(ValueError):
        public_key.from_jwk(jwk | {"crv": "P-384"})


def test_spki_is_read_back_for_every_kind_that_is_taken() -> None:
    for key in (
        ed25519.Ed25519PrivateKey.generate().public_key(),
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        rsa_key(2048),
    ):
        assert public_key.from_spki(public_key.to_spki(key)) == key


# An EC key on brainpoolP512t1 (RFC 5639), which the library has no code for.
UNKNOWN_CURVE = bytes.fromhex("301a301406072a8648ce3d020106092b240303020801010e03020004")


@pytest.mark.parametrize("der", [b"", b"x", b"\x30\x00", UNKNOWN_CURVE])
def test_what_is_no_key_in_pkix_form_is_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not a supported public key in PKIX form$"):
        public_key.from_spki(der)


def test_keys_that_sign_nothing_and_other_curves_are_refused() -> None:
    exchange = x25519.X25519PrivateKey.generate().public_key()
    koblitz = ec.generate_private_key(ec.SECP256K1()).public_key()
    for key, why in ((exchange, "neither EC, RSA nor Ed25519"), (koblitz, "secp256k1")):
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(ValueError, match=why):
            public_key.from_spki(der)
