"""The nine algorithms of JWT- and WIT-SVIDs (JWT-SVID section 2.1, RFC 7518 section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding

    from finial.spiffe.public_key import PublicKey

_SHA2 = {256: hashes.SHA256(), 384: hashes.SHA384(), 512: hashes.SHA512()}


@dataclass(frozen=True, slots=True)
class RsaAlgorithm:
    """RSASSA with PKCS#1 v1.5 or PSS padding (RFC 7518 sections 3.3 and 3.5)."""

    name: str
    hash: hashes.HashAlgorithm
    padding: AsymmetricPadding

    def fits(self, key: object) -> bool:
        """Whether a public or private key is of the algorithm's kind."""
        return isinstance(key, RSAPublicKey | RSAPrivateKey)

    def verify(self, key: PublicKey, signature: bytes, data: bytes) -> bool:
        """Whether the key made the signature; never true of a key that does not fit."""
        if not isinstance(key, RSAPublicKey):
            return False
        try:
            key.verify(signature, data, self.padding, self.hash)
        except InvalidSignature:
            return False
        return True

    def sign(self, key: object, data: bytes) -> bytes:
        """Sign; the form is what a token carries.

        Raises:
            TypeError: the key does not fit.
        """
        if not isinstance(key, RSAPrivateKey):
            raise TypeError(f"{self.name} needs an RSA key")
        return key.sign(data, self.padding, self.hash)


@dataclass(frozen=True, slots=True)
class EcAlgorithm:
    """ECDSA on the one curve that belongs to the algorithm (RFC 7518 section 3.4)."""

    name: str
    ecdsa: ECDSA
    curve: str
    coordinate: int
    """Bytes of r, and of s: the signature is both, one after the other."""

    def fits(self, key: object) -> bool:
        """Whether a public or private key is on the algorithm's curve."""
        return (
            isinstance(key, EllipticCurvePublicKey | EllipticCurvePrivateKey)
            and key.curve.name == self.curve
        )

    def verify(self, key: PublicKey, signature: bytes, data: bytes) -> bool:
        """Whether the key made the signature; never true of a key that does not fit."""
        if not isinstance(key, EllipticCurvePublicKey) or not self.fits(key):
            return False
        size = self.coordinate
        if len(signature) != 2 * size:
            return False
        der = encode_dss_signature(
            int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
        )
        try:
            key.verify(der, data, self.ecdsa)
        except InvalidSignature:
            return False
        return True

    def sign(self, key: object, data: bytes) -> bytes:
        """Sign; the form is what a token carries.

        Raises:
            TypeError: the key does not fit.
        """
        if not isinstance(key, EllipticCurvePrivateKey) or not self.fits(key):
            raise TypeError(f"{self.name} needs a key on {self.curve}")
        r, s = decode_dss_signature(key.sign(data, self.ecdsa))
        return r.to_bytes(self.coordinate, "big") + s.to_bytes(self.coordinate, "big")


Algorithm = RsaAlgorithm | EcAlgorithm


def _pss(digest: hashes.HashAlgorithm) -> PSS:
    return PSS(mgf=MGF1(digest), salt_length=digest.digest_size)


ALGORITHMS: Mapping[str, Algorithm] = {
    **{f"RS{n}": RsaAlgorithm(f"RS{n}", sha, PKCS1v15()) for n, sha in _SHA2.items()},
    **{f"PS{n}": RsaAlgorithm(f"PS{n}", sha, _pss(sha)) for n, sha in _SHA2.items()},
    "ES256": EcAlgorithm("ES256", ECDSA(_SHA2[256]), "secp256r1", 32),
    "ES384": EcAlgorithm("ES384", ECDSA(_SHA2[384]), "secp384r1", 48),
    "ES512": EcAlgorithm("ES512", ECDSA(_SHA2[512]), "secp521r1", 66),
}
"""By name in a token's header; what is not here is refused before anything else (JWT-05)."""


def algorithm_for(key: object) -> Algorithm:
    """The algorithm that we sign with: ES256, ES384, ES512 or RS256, by the key (JWT-04, WIT-05).

    Raises:
        TypeError: the key is of another kind.
    """
    for name in ("ES256", "ES384", "ES512", "RS256"):
        if ALGORITHMS[name].fits(key):
            return ALGORITHMS[name]
    raise TypeError("key can sign no token")
