"""What a node attestor is, to the server and to the agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from finial.attestors.selector import Selector
    from finial.runtime.clock import Clock
    from finial.spiffe.spiffe_id import SpiffeId
    from finial.spiffe.trust_domain import TrustDomain


class AttestReason(Enum):
    """Why evidence was refused, in terms the server's API turns into a gRPC code."""

    INVALID_EVIDENCE = "invalid evidence"  # the evidence itself is malformed, unknown or spent
    REFUSED = "refused"  # well formed, but policy or a failed proof says no
    INTERNAL = "internal"  # something the attestor relies on failed; trying again may help


class AttestError(Exception):
    """A node attestor refused, or could not judge, the evidence.

    `message` never holds the evidence itself.
    """

    def __init__(self, reason: AttestReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class NodeAttestation:
    """A node that proved itself: its agent ID, node selectors, and whether it can do so again."""

    agent_id: SpiffeId
    selectors: tuple[Selector, ...] = ()
    can_reattest: bool = False


Challenge = Callable[[bytes], Awaitable[bytes]]


class NodeAttestorServer(Protocol):
    """The judging half."""

    type: str

    async def attest(self, payload: bytes, challenge: Challenge) -> NodeAttestation:
        """Judge the evidence; `challenge` sends bytes to the agent and returns its response.

        Raises AttestError when the evidence is not accepted.
        """


class NodeAttestorAgent(Protocol):
    """The proving half."""

    type: str

    async def payload(self) -> bytes:
        """Return the first evidence. Raises AttestError when there is none to show."""

    async def respond(self, challenge: bytes) -> bytes:
        """Answer one challenge of the server. Raises AttestError when it makes no sense."""


class StoredJoinToken(Protocol):
    """A join token as the server's datastore keeps it."""

    @property
    def value(self) -> str:
        """The secret itself."""

    @property
    def expires_at(self) -> int:
        """Unix seconds."""


class JoinTokenStore(Protocol):
    """Where join tokens are spent."""

    async def consume(self, token: str, now: float) -> StoredJoinToken | None:
        """Remove the token and return it, expired or not; None when it is not there.

        Of any number of simultaneous callers exactly one gets the token.
        """


@dataclass(frozen=True, slots=True)
class ServerHost:
    """What the server lends to the judging half of an attestor."""

    trust_domain: TrustDomain
    clock: Clock
    join_tokens: JoinTokenStore


@dataclass(frozen=True, slots=True)
class AgentHost:
    """What the agent lends to the proving half of an attestor."""

    trust_domain: TrustDomain
    join_token: str = field(default="", repr=False)
