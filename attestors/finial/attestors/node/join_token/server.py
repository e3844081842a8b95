"""The server's half: spends a join token, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.attestors.node.interface import AttestError, AttestReason, NodeAttestation
from finial.attestors.node.join_token import evidence
from finial.spiffe.errors import SpiffeError
from finial.spiffe.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finial.attestors.node.interface import Challenge, ServerHost


class JoinTokenServer:
    """Accepts each stored token a single time; a late attempt spends it, too."""

    type = evidence.TYPE

    def __init__(self, host: ServerHost, settings: Mapping[str, object]) -> None:
        evidence.check_settings(settings)
        self._host = host

    async def attest(self, payload: bytes, challenge: Challenge) -> NodeAttestation:  # noqa: ARG002
        now = self._host.clock.time()
        try:
            token = evidence.decode(payload)
        except evidence.TokenError:
            # The same answer as for an unknown token: a guesser learns nothing from the difference.
            raise _unknown() from None
        stored = await self._host.join_tokens.consume(token, now)
        if stored is None:
            raise _unknown()
        if stored.expires_at <= now:
            raise AttestError(AttestReason.INVALID_EVIDENCE, "join token expired")
        return NodeAttestation(self._agent_id(stored.value))

    def _agent_id(self, token: str) -> SpiffeId:
        try:
            return SpiffeId.of(self._host.trust_domain, evidence.agent_path(token))
        except SpiffeError:
            raise AttestError(
                AttestReason.INVALID_EVIDENCE, "join token cannot be part of a SPIFFE ID"
            ) from None


def _unknown() -> AttestError:
    return AttestError(
        AttestReason.INVALID_EVIDENCE,
        "failed to attest: join token does not exist or has already been used",
    )
