"""What the API process knows of signers and authorities: all but the keys."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from finial.api.finial import signer_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from finial.spiffe.trust_domain import TrustDomain

BACKDATE = 10
"""Seconds by which every certificate begins before its issue, for clocks that are behind."""


class AuthorityKind(enum.Enum):
    """What an authority signs."""

    X509 = "x509"
    JWT = "jwt"
    WIT = "wit"

    @property
    def wire(self) -> signer_pb2.AuthorityKind.ValueType:
        return signer_pb2.AuthorityKind.Value(self.name)


class KeyType(enum.Enum):
    """The keys that authorities have, by their names in the configuration."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    RSA_2048 = "rsa-2048"
    RSA_4096 = "rsa-4096"

    @property
    def wire(self) -> signer_pb2.KeyType.ValueType:
        return signer_pb2.KeyType.Value(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityRef:
    """The public side of an authority that signers hold.

    Attributes:
        slot: where the key lies: x509-CA-A, JWT-Signer-A, WIT-Signer-A, or the like with B.
        id: X.509: lower case hex of the subject key identifier; JWT and WIT: the key ID.
        not_before: Unix seconds.
        not_after: Unix seconds.
        certificate: X.509: the CA certificate, DER; JWT and WIT: empty.
        public_key: SubjectPublicKeyInfo, DER.
    """

    kind: AuthorityKind
    slot: str
    id: str
    key_type: KeyType
    not_before: int
    not_after: int
    certificate: bytes
    public_key: bytes

    @classmethod
    def from_message(cls, message: signer_pb2.Authority) -> Self:
        """Read what a signer said."""
        return cls(
            kind=AuthorityKind[signer_pb2.AuthorityKind.Name(message.kind)],
            slot=message.slot,
            id=message.id,
            key_type=KeyType[signer_pb2.KeyType.Name(message.key_type)],
            not_before=message.not_before,
            not_after=message.not_after,
            certificate=message.certificate,
            public_key=message.public_key,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaSubject:
    """Whom X.509 authorities name in their certificates, beside their serial number."""

    country: tuple[str, ...] = ("US",)
    organization: tuple[str, ...] = ("SPIFFE",)
    common_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerSettings:
    """How signers are started, and the policy that they enforce on their own.

    Attributes:
        trust_domain: every document names an ID of it.
        keys_path: the keys file of the key manager `disk`; None for the key manager `memory`.
        processes: how many signers; one a core serves best.
        max_x509_ttl: seconds, without the backdating; the cap of WIT-SVIDs, too.
        max_jwt_ttl: seconds.
        max_authority_ttl: seconds, without the backdating.
        clock_tolerance: seconds between the signer's clock and the beginning of a document's
            validity; 0 switches the rule off, for simulated time.
        jwt_issuer: the "iss" of JWT-SVIDs, empty for none.
        wit_issuer: the "iss" of WIT-SVIDs, empty for none; no https URL.
        ca_subject: the name of authorities made from now on.
        downstream_authorities: whether certificates of downstream servers' authorities are signed.
    """

    trust_domain: TrustDomain
    keys_path: Path | None
    processes: int
    max_x509_ttl: int
    max_jwt_ttl: int
    max_authority_ttl: int
    clock_tolerance: int = 60
    jwt_issuer: str = ""
    wit_issuer: str = ""
    ca_subject: CaSubject = CaSubject()
    downstream_authorities: bool = False

    def to_message(self) -> signer_pb2.Configure:
        """The settings as a first signer gets them."""
        kinds = signer_pb2.Configure
        return signer_pb2.Configure(
            policy=signer_pb2.Policy(
                trust_domain=self.trust_domain.name,
                max_x509_ttl=self.max_x509_ttl,
                max_jwt_ttl=self.max_jwt_ttl,
                max_authority_ttl=self.max_authority_ttl,
                max_backdate=BACKDATE,
                clock_tolerance=self.clock_tolerance,
                jwt_issuer=self.jwt_issuer,
                wit_issuer=self.wit_issuer,
                ca_subject=signer_pb2.CaSubject(
                    country=self.ca_subject.country,
                    organization=self.ca_subject.organization,
                    common_name=self.ca_subject.common_name,
                ),
                downstream_authorities=self.downstream_authorities,
            ),
            key_manager=kinds.DISK if self.keys_path else kinds.MEMORY,
            keys_path=str(self.keys_path.absolute()) if self.keys_path else "",
        )
