"""The authorities of a trust domain: what each kind of SVID is checked against.

Three types and not one with a flag: a key of one use can never validate an SVID of another
(SPIFFE Trust Domain and Bundle section 4.2), because the compiler of types would not have it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from finial.spiffe import certificate, public_key
from finial.spiffe.errors import BundleError

if TYPE_CHECKING:
    from cryptography import x509

    from finial.spiffe.public_key import PublicKey


@dataclass(frozen=True, slots=True)
class X509Authority:
    """A CA certificate that is a trust anchor. Equal when its bytes are.

    Attributes:
        cert: the certificate.
        der: its bytes.
        tainted: distrusted soon: SVIDs that chain to it are to be renewed; it still validates.
    """

    cert: x509.Certificate = field(compare=False, repr=False)
    der: bytes = field(repr=False)
    tainted: bool = False

    @classmethod
    def from_der(cls, der: bytes, *, tainted: bool = False) -> Self:
        """Read one DER certificate.

        Raises:
            BundleError: the bytes are no certificate, or its key is one that would keep whoever
                verifies with it busy.
        """
        try:
            cert = certificate.load(der)
            certificate.refuse_huge_key(cert)
            return cls(cert, der, tainted)
        except ValueError as error:
            raise BundleError(f"unable to parse X.509 authority: {error}") from None

    @property
    def authority_id(self) -> str:
        """The subject key ID in lower case hex; empty when the certificate has none."""
        return certificate.subject_key_id(self.cert).hex()


@dataclass(frozen=True, slots=True)
class _KeyAuthority:
    """A public key with a name."""

    key_id: str
    public_key: PublicKey = field(compare=False, repr=False)
    spki_der: bytes = field(repr=False)
    expires_at: int | None = None
    tainted: bool = False

    @classmethod
    def from_spki(
        cls, key_id: str, spki_der: bytes, *, expires_at: int | None = None, tainted: bool = False
    ) -> Self:
        """Read a public key in PKIX form.

        Raises:
            BundleError: the bytes are no key that is taken, or the key ID is empty.
        """
        if not key_id:
            raise BundleError("missing key ID")
        try:
            key = public_key.from_spki(spki_der)
        except ValueError as error:
            raise BundleError(f'key "{key_id}": {error}') from None
        return cls(key_id, key, spki_der, expires_at, tainted)

    @classmethod
    def from_key(cls, key_id: str, key: PublicKey, *, expires_at: int | None = None) -> Self:
        """Name a public key that is at hand."""
        return cls(key_id, key, public_key.to_spki(key), expires_at)


@dataclass(frozen=True, slots=True)
class JwtAuthority(_KeyAuthority):
    """A key that signs JWT-SVIDs.

    Attributes:
        key_id: the ``kid`` in bundle and token.
        public_key: the key.
        spki_der: its SubjectPublicKeyInfo.
        expires_at: when its signer stops using it, Unix seconds; None when not known. For pruning
            only: what it signed is judged by the token's own expiry.
        tainted: distrusted soon; it still validates.
    """


@dataclass(frozen=True, slots=True)
class WitAuthority(_KeyAuthority):
    """A key that signs WIT-SVIDs. Attributes as a JwtAuthority's."""
