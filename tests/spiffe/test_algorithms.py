"""Each of the nine algorithms takes the signatures of its own key over the very data, no other."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from finial.spiffe.errors import JwtSvidError
from finial.spiffe.jose import ProvenSignatures
from finial.spiffe.jose.algorithm import ALGORITHMS, algorithm_for
from finial.spiffe.jwt_svid import validate
from tests.fakes.ca import NOW, FakeCa, PrivateKey

DATA = b"header.payload"
CURVES: dict[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}
RSA = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
PADDED = [name for name in ALGORITHMS if name not in CURVES]


def keys(name: str) -> tuple[ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, ...]:
    """Two keys that fit."""
    if name in CURVES:
        return ec.generate_private_key(CURVES[name]), ec.generate_private_key(CURVES[name])
    return RSA[0], RSA[1]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_signature_is_its_own_keys_over_the_very_data(name: str) -> None:
    algorithm, (key, other) = ALGORITHMS[name], keys(name)
    signature = algorithm.sign(key, DATA)
    assert algorithm.verify(key.public_key(), signature, DATA) is True
    assert algorithm.verify(other.public_key(), signature, DATA) is False
    assert algorithm.verify(key.public_key(), signature, DATA + b"x") is False
    assert algorithm.verify(key.public_key(), algorithm.sign(other, DATA), DATA) is False


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_signature_with_any_bit_changed_is_none(name: str) -> None:
    algorithm, (key, _) = ALGORITHMS[name], keys(name)
    signature = algorithm.sign(key, DATA)
    for place in (0, len(signature) // 2 - 1, len(signature) // 2, len(signature) - 1):
        changed = bytearray(signature)
        changed[place] ^= 1
        assert algorithm.verify(key.public_key(), bytes(changed), DATA) is False


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_signature_of_another_length_is_none(name: str) -> None:
    algorithm, (key, _) = ALGORITHMS[name], keys(name)
    signature = algorithm.sign(key, DATA)
    for changed in (b"", signature[:-1], signature[1:], signature + b"\0", b"\0" + signature):
        assert algorithm.verify(key.public_key(), changed, DATA) is False


def test_an_ecdsa_signature_has_one_form_only() -> None:
    """RFC 7518 section 3.4: without its leading zero, or in DER, the same numbers are refused."""
    algorithm, key = ALGORITHMS["ES256"], ec.generate_private_key(ec.SECP256R1())
    signatures = (algorithm.sign(key, DATA) for _ in range(20_000))
    signature = next(found for found in signatures if found[32] == 0)
    assert algorithm.verify(key.public_key(), signature, DATA)
    assert not algorithm.verify(key.public_key(), signature[:32] + signature[33:], DATA)
    der = key.sign(DATA, ec.ECDSA(hashes.SHA256()))
    assert not algorithm.verify(key.public_key(), der, DATA)


@pytest.mark.parametrize(("name", "size"), [("ES384", 48), ("ES512", 66)])
def test_a_key_on_a_smaller_curve_makes_no_signature_of_a_larger_ones(name: str, size: int) -> None:
    """Its numbers fit the form, and it would verify them."""
    algorithm = ALGORITHMS[name]
    digest = hashes.SHA384() if name == "ES384" else hashes.SHA512()
    key = ec.generate_private_key(ec.SECP256R1())
    r, s = decode_dss_signature(key.sign(DATA, ec.ECDSA(digest)))
    signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    assert algorithm.verify(key.public_key(), signature, DATA) is False
    with pytest.raises(TypeError, match=f"{name} needs a key on"):
        algorithm.sign(key, DATA)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_key_of_another_kind_neither_fits_nor_signs_nor_verifies(name: str) -> None:
    algorithm, (key, _) = ALGORITHMS[name], keys(name)
    assert algorithm.fits(key)
    assert algorithm.fits(key.public_key())
    signature = algorithm.sign(key, DATA)
    kinds: dict[str, PrivateKey] = {
        **{curve: ec.generate_private_key(CURVES[curve]) for curve in CURVES},
        "RSA": RSA[0],
        "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    del kinds[name if name in CURVES else "RSA"]
    for other in kinds.values():
        public = other.public_key()
        assert not algorithm.fits(other)
        assert not algorithm.fits(public)
        assert algorithm.verify(public, signature, DATA) is False
        with pytest.raises(TypeError, match=f"{name} needs a"):
            algorithm.sign(other, DATA)


@pytest.mark.parametrize("name", PADDED)
def test_each_rsa_algorithm_takes_its_own_padding_and_hash_only(name: str) -> None:
    signature = ALGORITHMS[name].sign(RSA[0], DATA)
    takers = [n for n in PADDED if ALGORITHMS[n].verify(RSA[0].public_key(), signature, DATA)]
    assert takers == [name]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_forged_with_another_key_is_refused_under_every_algorithm(alg: str) -> None:
    right, wrong = keys(alg)
    ca = FakeCa(jwt_key=right)
    honest = ca.jwt("spiffe://example.org/a", ["me"], alg=alg)
    assert validate(honest, ca.bundle(), "me", NOW).id.uri == "spiffe://example.org/a"
    forged = ca.jwt("spiffe://example.org/a", ["me"], alg=alg, key=wrong)
    with pytest.raises(JwtSvidError, match="invalid signature"):
        validate(forged, ca.bundle(), "me", NOW)


def test_the_algorithm_to_sign_with_follows_from_the_key() -> None:
    for name, curve in CURVES.items():
        assert algorithm_for(ec.generate_private_key(curve)) is ALGORITHMS[name]
    assert algorithm_for(RSA[0]) is ALGORITHMS["RS256"]
    for key in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256K1()), 7):
        with pytest.raises(TypeError, match="key can sign no token"):
            algorithm_for(key)


def test_the_memory_of_signatures_has_an_end() -> None:
    memory = ProvenSignatures()
    facts = [memory.fact(b"key", str(number)) for number in range(4097)]
    for fact in facts[:-1]:
        memory.add(fact)
    assert len(memory) == 4096
    assert memory.knows(facts[0])
    memory.add(facts[-1])
    assert len(memory) == 4096
    assert memory.knows(facts[0])
    assert not memory.knows(facts[1])
