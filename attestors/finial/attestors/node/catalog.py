"""Finds attestors by the entry points that packages declare.

An attestor's class is called with its host (None for workload attestors) and its settings, the
`plugin_data` of the configuration; it refuses settings that it does not know with a ValueError.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finial.attestors.node.interface import (
        AgentHost,
        NodeAttestorAgent,
        NodeAttestorServer,
        ServerHost,
    )
    from finial.attestors.workload.interface import WorkloadAttestor

SERVER_GROUP = "finial.node_attestors.server"
AGENT_GROUP = "finial.node_attestors.agent"
WORKLOAD_GROUP = "finial.workload_attestors"


class UnknownAttestorError(LookupError):
    """No installed package declares an attestor of that name."""

    def __init__(self, group: str, name: str, known: tuple[str, ...]) -> None:
        listing = ", ".join(known) or "none"
        super().__init__(
            f"no attestor {name!r} is installed (of {group}: {listing}); "
            "correct the name, or install the package that brings it"
        )
        self.group = group
        self.name = name
        self.known = known


def known(group: str) -> tuple[str, ...]:
    """Return the names of the installed attestors of a group, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def load(group: str, name: str) -> Any:
    """Import and return the attestor's class. Raises UnknownAttestorError."""
    for point in entry_points(group=group):
        if point.name == name:
            return point.load()
    raise UnknownAttestorError(group, name, known(group))


def node_attestor_server(
    name: str, host: ServerHost, settings: Mapping[str, object]
) -> NodeAttestorServer:
    """Make the judging half. Raises UnknownAttestorError, ValueError for bad settings."""
    attestor: NodeAttestorServer = load(SERVER_GROUP, name)(host, settings)
    return attestor


def node_attestor_agent(
    name: str, host: AgentHost, settings: Mapping[str, object]
) -> NodeAttestorAgent:
    """Make the proving half. Raises UnknownAttestorError, ValueError for bad settings."""
    attestor: NodeAttestorAgent = load(AGENT_GROUP, name)(host, settings)
    return attestor


def workload_attestor(name: str, settings: Mapping[str, object]) -> WorkloadAttestor:
    """Make a workload attestor. Raises UnknownAttestorError, ValueError for bad settings."""
    attestor: WorkloadAttestor = load(WORKLOAD_GROUP, name)(settings)
    return attestor
