"""What can be ordered of the issuer, and what comes of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from finial.spiffe.spiffe_id import SpiffeId

X509Kind = Literal["workload", "agent", "server"]


@dataclass(frozen=True, slots=True, kw_only=True)
class X509Order:
    """An X509-SVID that somebody may have.

    Attributes:
        kind: whose; it decides which IDs the signer lets through, and the default lifetime.
        csr: PKCS#10, DER; only its key counts.
        common_name: empty for the first DNS name, if there is one.
        ttl: seconds; 0 for the default.
        entry_id: the registration entry, for the record; empty when minted by name.
        agent_id: the agent that asks, for the record.
    """

    kind: X509Kind
    spiffe_id: SpiffeId
    csr: bytes = field(repr=False)
    dns_names: tuple[str, ...] = ()
    common_name: str = ""
    ttl: int = 0
    entry_id: str = ""
    agent_id: str = ""


@dataclass(frozen=True, slots=True)
class IssuedX509:
    """An X509-SVID: chain in DER, leaf first, without the root; `not_after` in Unix seconds."""

    chain: tuple[bytes, ...] = field(repr=False)
    serial: int
    not_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DownstreamOrder:
    """The authority of a downstream server; fields as an X509Order's.

    Attributes:
        caller: the SPIFFE ID of the server that asks, for the record.
        ttl: seconds; 0 for `ca_ttl`, which is the most.
    """

    csr: bytes = field(repr=False)
    caller: SpiffeId
    ttl: int = 0
    entry_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtOrder:
    """A JWT-SVID that somebody may have; fields as an X509Order's."""

    spiffe_id: SpiffeId
    audience: tuple[str, ...]
    ttl: int = 0
    entry_id: str = ""
    agent_id: str = ""
    include_jti: bool = False


@dataclass(frozen=True, slots=True)
class IssuedJwt:
    """A JWT-SVID; times in Unix seconds. The token is a secret."""

    token: str = field(repr=False)
    expires_at: int
    issued_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WitOrder:
    """A WIT-SVID that somebody may have; fields as an X509Order's.

    Attributes:
        public_key: the workload's, SubjectPublicKeyInfo, DER.
        algorithm: JWS name of the algorithm that it signs its proofs with.
        ttl: seconds; 0 for the default of X509-SVIDs.
    """

    spiffe_id: SpiffeId
    public_key: bytes = field(repr=False)
    algorithm: str
    ttl: int = 0
    entry_id: str = ""
    agent_id: str = ""


@dataclass(frozen=True, slots=True)
class IssuedWit:
    """A WIT-SVID; times in Unix seconds."""

    token: str = field(repr=False)
    expires_at: int
    issued_at: int


class IssueErrorKind(enum.Enum):
    """Why nothing was issued."""

    MALFORMED_CSR = "malformed CSR"
    BAD_CSR_SIGNATURE = "bad CSR signature"
    KEY_TOO_WEAK = "key too weak"
    MALFORMED_KEY = "malformed key"
    KEY_UNFIT = "key does not fit"
    REFUSED_BY_POLICY = "refused by policy"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class IssueError:
    """An order that was not carried out; `message` is fit for the caller."""

    kind: IssueErrorKind
    message: str
