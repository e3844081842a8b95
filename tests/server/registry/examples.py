"""Entries and agents to test with."""

from finial.attestors.selector import Selector
from finial.server.registry.model import Agent, Entry
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

DOMAIN = TrustDomain("example.org")
NODE = SpiffeId("spiffe://example.org/spire/agent/join_token/n1")
OTHER_NODE = SpiffeId("spiffe://example.org/spire/agent/join_token/n2")


def selectors(*texts: str) -> tuple[Selector, ...]:
    return tuple(Selector.parse(text) for text in texts)


def entry(name: str = "w", *texts: str, parent: SpiffeId = NODE, id: str = "") -> Entry:  # noqa: A002
    return Entry(
        id=id,
        spiffe_id=SpiffeId(f"spiffe://example.org/{name}"),
        parent_id=parent,
        selectors=selectors(*(texts or ("unix:uid:0",))),
    )


def agent(
    agent_id: SpiffeId = NODE, serial: str = "11", *texts: str, expires_at: int = 1_800_003_600
) -> Agent:
    return Agent(
        id=agent_id,
        attestation_type="join_token",
        serial_number=serial,
        expires_at=expires_at,
        selectors=selectors(*texts),
    )
