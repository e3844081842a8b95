"""Attested agents on the wire."""

from collections.abc import Sequence

from finial.api.spire import types_pb2
from finial.server.api.convert import encode_selectors, encode_spiffe_id
from finial.server.api.masks import hide
from finial.server.registry.model import Agent


def encode_agent(agent: Agent, hidden: Sequence[str]) -> types_pb2.Agent:
    """The message for `agent` without its `hidden` fields."""
    message = types_pb2.Agent(
        id=encode_spiffe_id(agent.id),
        attestation_type=agent.attestation_type,
        x509svid_serial_number=agent.serial_number,
        x509svid_expires_at=agent.expires_at,
        selectors=encode_selectors(agent.selectors),
        banned=agent.banned,
        can_reattest=agent.can_reattest,
        agent_version=agent.agent_version,
    )
    return hide(message, hidden)
