"""Agents as text."""

from finial.api.spire.types_pb2 import Agent
from finial.runtime.cli.output import block
from finial.runtime.cli.times import local_time
from finial.server.cli.arguments import id_text

LABEL_WIDTH = 18


def agent_block(agent: Agent) -> str:
    """The lines of one agent and an empty one; a banned agent has no serial number."""
    rows: list[tuple[str, object]] = [
        ("SPIFFE ID", id_text(agent.id)),
        ("Attestation type", agent.attestation_type),
        ("Expiration time", local_time(agent.x509svid_expires_at)),
        ("Banned", "true") if agent.banned else ("Serial number", agent.x509svid_serial_number),
        ("Can re-attest", "true" if agent.can_reattest else "false"),
        *([("Agent version", agent.agent_version)] if agent.agent_version else []),
    ]
    return block(rows, LABEL_WIDTH) + "\n"


def selector_lines(agent: Agent) -> str:
    """A line for each of the node's selectors."""
    rows: list[tuple[str, object]] = [
        ("Selectors", f"{each.type}:{each.value}") for each in agent.selectors
    ]
    return block(rows, LABEL_WIDTH)
