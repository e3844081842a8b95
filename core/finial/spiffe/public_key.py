"""Public keys: which kinds and sizes are taken at all, and their two spellings, SPKI and JWK.

The bounds hold before any signature is checked with a key: verifying with a huge RSA modulus or
exponent is a way to keep a processor busy, and a small one is no protection.
"""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from finial.spiffe import base64url

PublicKey = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey
"""The kinds of key that sign SVIDs here."""

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
MAX_RSA_EXPONENT_BITS = 33

CURVES: dict[str, EllipticCurve] = {
    "P-256": SECP256R1(),
    "P-384": SECP384R1(),
    "P-521": SECP521R1(),
}
"""The curves taken, by their JWK name (RFC 7518 section 6.2.1.1)."""
_CURVE_NAMES = {curve.name: name for name, curve in CURVES.items()}


def accept(key: object) -> PublicKey:
    """Pass a key on if its kind and size are taken.

    Raises:
        ValueError: another kind, another curve, or an RSA key out of bounds.
    """
    if isinstance(key, EllipticCurvePublicKey):
        if key.curve.name not in _CURVE_NAMES:
            raise ValueError(f"elliptic curve {key.curve.name} is not supported")
        return key
    if isinstance(key, RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise ValueError(
                f"RSA key has {key.key_size} bits, not {MIN_RSA_BITS} to {MAX_RSA_BITS}"
            )
        if key.public_numbers().e.bit_length() > MAX_RSA_EXPONENT_BITS:
            raise ValueError("RSA exponent is too large")
        return key
    if isinstance(key, Ed25519PublicKey):
        return key
    raise ValueError("key is neither EC, RSA nor Ed25519")


def refuse_huge(key: object) -> None:
    """Refuse an RSA key above the bounds; weaker and unknown kinds pass.

    Raises:
        ValueError: a signature by it would be dear to verify.
    """
    if isinstance(key, RSAPublicKey) and (
        key.key_size > MAX_RSA_BITS or key.public_numbers().e.bit_length() > MAX_RSA_EXPONENT_BITS
    ):
        raise ValueError(f"RSA key of {key.key_size} bits, or its exponent, is too large")


def from_spki(der: bytes) -> PublicKey:
    """Read a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).

    Raises:
        ValueError: not a key, or not one that is taken.
    """
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("not a supported public key in PKIX form") from None
    return accept(key)


def to_spki(key: PublicKey) -> bytes:
    """Write a SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def from_jwk(jwk: dict[str, Any]) -> PublicKey:
    """Read the key of a JWK with ``kty`` EC or RSA (RFC 7518 section 6).

    Raises:
        ValueError: another kty or curve, a member missing or malformed, or a key out of bounds.
    """
    match jwk.get("kty"):
        case "EC":
            return _ec_from_jwk(jwk)
        case "RSA":
            modulus, exponent = _unsigned(jwk, "n"), _unsigned(jwk, "e")
            if modulus.bit_length() > MAX_RSA_BITS or exponent.bit_length() > MAX_RSA_EXPONENT_BITS:
                raise ValueError("RSA key is too large")
            return accept(RSAPublicNumbers(exponent, modulus).public_key())
        case _:
            raise ValueError("unknown kty")


def to_jwk(key: PublicKey) -> dict[str, str]:
    """Write the ``kty`` and key members of a JWK, and nothing else."""
    if isinstance(key, EllipticCurvePublicKey):
        point = key.public_numbers()
        size = (key.curve.key_size + 7) // 8
        return {
            "kty": "EC",
            "crv": _CURVE_NAMES[key.curve.name],
            "x": base64url.encode(point.x.to_bytes(size, "big")),
            "y": base64url.encode(point.y.to_bytes(size, "big")),
        }
    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        return {
            "kty": "RSA",
            "n": base64url.encode_number(numbers.n),
            "e": base64url.encode_number(numbers.e),
        }
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": base64url.encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)),
    }


def _ec_from_jwk(jwk: dict[str, Any]) -> PublicKey:
    name = jwk.get("crv")
    curve = CURVES.get(name) if isinstance(name, str) else None
    if curve is None:
        raise ValueError("unknown crv")
    return EllipticCurvePublicNumbers(_unsigned(jwk, "x"), _unsigned(jwk, "y"), curve).public_key()


def _unsigned(jwk: dict[str, Any], member: str) -> int:
    text = jwk.get(member)
    if not isinstance(text, str) or not text:
        raise ValueError(f"{member} is missing or malformed")
    return int.from_bytes(base64url.decode(text.encode()), "big")
