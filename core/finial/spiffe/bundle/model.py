"""What a bundle is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509

from finial.spiffe.bundle import reading, writing
from finial.spiffe.bundle.authority import JwtAuthority, WitAuthority, X509Authority
from finial.spiffe.errors import BundleError

if TYPE_CHECKING:
    from finial.spiffe.trust_domain import TrustDomain


@dataclass(frozen=True, slots=True)
class Bundle:
    """A trust domain's authorities at one moment.

    An empty bundle is a statement too: nothing of this trust domain is trusted any more.

    Attributes:
        trust_domain: whose it is.
        x509_authorities: trust anchors for X509-SVIDs.
        jwt_authorities: keys for JWT-SVIDs.
        wit_authorities: keys for WIT-SVIDs.
        sequence: rises with every change of content; 0 when the document had none.
        refresh_hint: seconds between fetches that the publisher proposes; 0 when it proposes none.
    """

    trust_domain: TrustDomain
    x509_authorities: tuple[X509Authority, ...] = ()
    jwt_authorities: tuple[JwtAuthority, ...] = ()
    wit_authorities: tuple[WitAuthority, ...] = ()
    sequence: int = 0
    refresh_hint: int = 0

    @classmethod
    def from_jwks(cls, trust_domain: TrustDomain, data: bytes) -> Self:
        """Read a bundle document; keys in it that cannot be used are passed over.

        Raises:
            BundleError: the document is not a JWK Set.
        """
        return cls.from_jwks_with_complaints(trust_domain, data)[0]

    @classmethod
    def from_jwks_with_complaints(
        cls, trust_domain: TrustDomain, data: bytes
    ) -> tuple[Self, tuple[str, ...]]:
        """As ``from_jwks``, and say of each key that was passed over why; fit to be logged.

        Raises:
            BundleError: the document is not a JWK Set.
        """
        document = reading.read_jwks(data)
        return cls.from_document(trust_domain, document), tuple(document.complaints)

    @classmethod
    def from_document(cls, trust_domain: TrustDomain, document: reading.Document) -> Self:
        """The bundle that a document holds."""
        return cls(
            trust_domain,
            tuple(document.x509_authorities),
            tuple(document.jwt_authorities),
            tuple(document.wit_authorities),
            document.sequence,
            document.refresh_hint,
        )

    @classmethod
    def from_pem(cls, trust_domain: TrustDomain, data: bytes) -> Self:
        """Read a file of PEM certificates; text between them is allowed.

        Raises:
            BundleError: there is none, or one is broken.
        """
        try:
            certs = x509.load_pem_x509_certificates(data)
        except (ValueError, Warning):
            raise BundleError("no certificate in PEM form, or a broken one") from None
        return cls(
            trust_domain, reading.distinct(X509Authority.from_der(writing.der_of(c)) for c in certs)
        )

    def to_jwks(self) -> bytes:
        """Write the bundle document to be published.

        Raises:
            BundleError: the content may not be published; see ``writing.published_members``.
        """
        return writing.to_json(self.to_members())

    def to_members(self) -> dict[str, Any]:
        """The members of the bundle document to be published, before they are written.

        Raises:
            BundleError: as ``to_jwks``.
        """
        return writing.published_members(
            self.x509_authorities,
            self.jwt_authorities,
            self.wit_authorities,
            sequence=self.sequence,
            refresh_hint=self.refresh_hint,
        )

    def jwt_jwks(self) -> bytes:
        """Write the JWK Set of the Workload API: JWT keys only, and no ``use`` in them."""
        return writing.workload_jwks(self.jwt_authorities)

    def wit_jwks(self) -> bytes:
        """Write the JWK Set of the Workload API: WIT keys only, and no ``use`` in them."""
        return writing.workload_jwks(self.wit_authorities)

    def x509_der(self) -> bytes:
        """Concatenate the X.509 authorities, DER, as the Workload API carries them."""
        return b"".join(authority.der for authority in self.x509_authorities)

    def to_pem(self) -> bytes:
        """Write the X.509 authorities as PEM."""
        return writing.pem(self.x509_authorities)

    def bundle_for(self, trust_domain: TrustDomain) -> Self | None:
        """The bundle itself, when asked for its own trust domain: a Bundle is a BundleSource."""
        return self if trust_domain == self.trust_domain else None

    def find_jwt_authority(self, key_id: str) -> JwtAuthority | None:
        """The JWT key with this ID, compared as it stands."""
        for authority in self.jwt_authorities:
            if authority.key_id == key_id:
                return authority
        return None

    def find_wit_authority(self, key_id: str) -> WitAuthority | None:
        """The WIT key with this ID, compared as it stands."""
        for authority in self.wit_authorities:
            if authority.key_id == key_id:
                return authority
        return None

    def has_x509_authority(self, der: bytes) -> bool:
        """Whether a certificate is one of the trust anchors, byte for byte."""
        return any(authority.der == der for authority in self.x509_authorities)
