"""All agents in memory, and whether one's certificate is good. Pure."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from finial.server.registry.model import Agent
    from finial.spiffe.spiffe_id import SpiffeId


class AgentVerdict(enum.Enum):
    """What an agent's record says of the certificate that it calls with."""

    OK = "ok"
    PROMOTE = "promote"
    """Good, and the first use of a renewed certificate: the old serial must now be retired."""
    EXPIRED = "expired"
    NOT_ATTESTED = "not attested"
    NOT_ACTIVE = "not active"
    """The serial is neither the current one nor the renewal's."""
    BANNED = "banned"

    @property
    def good(self) -> bool:
        return self in {AgentVerdict.OK, AgentVerdict.PROMOTE}


def check_agent(
    agent: Agent | None, serial: str, now: float, not_after: float | None = None
) -> AgentVerdict:
    """Judge a certificate of an agent by the agent's record, at every call.

    Args:
        agent: the record, None if there is none.
        serial: the certificate's serial, decimal.
        now: Unix seconds.
        not_after: the certificate's own end, Unix seconds; what the record knows if None.
    """
    if not_after is not None and now > not_after:
        return AgentVerdict.EXPIRED
    if agent is None:
        return AgentVerdict.NOT_ATTESTED
    if agent.banned:
        return AgentVerdict.BANNED
    # An agent without renewal has an empty new serial, which no certificate can have either.
    if serial and serial == agent.serial_number:
        verdict, recorded = AgentVerdict.OK, agent.expires_at
    elif serial and serial == agent.new_serial_number:
        verdict, recorded = AgentVerdict.PROMOTE, agent.new_expires_at
    else:
        return AgentVerdict.NOT_ACTIVE
    return AgentVerdict.EXPIRED if not_after is None and now > recorded else verdict


class AgentIndex:
    """Agents by SPIFFE ID."""

    def __init__(self) -> None:
        self._agents: dict[str, Agent] = {}

    def __len__(self) -> int:
        return len(self._agents)

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._agents.values())

    def get(self, agent_id: SpiffeId) -> Agent | None:
        """Return the record of an agent."""
        return self._agents.get(agent_id.uri)

    def put(self, agent: Agent) -> None:
        """Take in a new agent, or a new form of its record."""
        self._agents[agent.id.uri] = agent

    def pop(self, agent_id: str) -> Agent | None:
        """Take out an agent by the text of its ID and return its record, if it was there."""
        return self._agents.pop(agent_id, None)

    def replace_all(self, agents: Iterable[Agent]) -> None:
        """Take these agents in place of all there are."""
        self._agents = {agent.id.uri: agent for agent in agents}
