"""The agent's half: shows the join token it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.attestors.node.interface import AttestError, AttestReason
from finial.attestors.node.join_token import evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finial.attestors.node.interface import AgentHost


class JoinTokenAgent:
    """Presents a join token; there is no challenge in this exchange."""

    type = evidence.TYPE

    def __init__(self, host: AgentHost, settings: Mapping[str, object]) -> None:
        evidence.check_settings(settings)
        self._token = host.join_token

    async def payload(self) -> bytes:
        if not self._token:
            raise AttestError(
                AttestReason.INVALID_EVIDENCE,
                "join token was not provided; make one at the server (finial-server token "
                "generate) and start the agent with -joinToken",
            )
        return evidence.encode(self._token)

    async def respond(self, challenge: bytes) -> bytes:  # noqa: ARG002 - nothing to answer
        raise AttestError(AttestReason.REFUSED, "unexpected challenge for a join token")
