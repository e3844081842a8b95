"""A gate with everything that it looks at, and callers of every kind."""

import logging
from dataclasses import dataclass, field, replace

import grpc
import pytest

from finial.runtime.observe import CallInfo, Observer
from finial.runtime.rpc import StatusError, TlsCaller
from finial.server.api.gate import Gate, Identity
from finial.server.registry.agents import AgentIndex
from finial.server.registry.index import EntryIndex
from finial.server.registry.model import Agent, Entry
from finial.spiffe.bundle import Bundle
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.ca import FakeCa
from tests.fakes.call import FakeCall
from tests.fakes.clock import FakeClock

AGENT = SpiffeId.parse("spiffe://example.org/spire/agent/join_token/one")
STATIC_ADMIN = SpiffeId.parse("spiffe://example.org/static-admin")
ADMIN = SpiffeId.parse("spiffe://example.org/admin")
DOWNSTREAM = SpiffeId.parse("spiffe://example.org/downstream")
WORKLOAD = SpiffeId.parse("spiffe://example.org/workload")
SYNC = "/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries"
LIST = "/spire.api.server.entry.v1.Entry/ListEntries"
GET_BUNDLE = "/spire.api.server.bundle.v1.Bundle/GetBundle"


class Seen(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("finial.test"))
        self.seconds = 0.0
        self.calls: list[tuple[str, CallInfo]] = []

    def started(self, call: CallInfo) -> None:
        self.calls.append(("started", call))

    def finished(self, call: CallInfo, code: grpc.StatusCode, message: str, seconds: float) -> None:
        self.calls.append((code.name + message, call))
        self.seconds += seconds


@dataclass
class World:
    """A gate, what it looks at, and callers of every kind."""

    ca: FakeCa = field(default_factory=FakeCa)
    clock: FakeClock = field(default_factory=FakeClock)
    agents: AgentIndex = field(default_factory=AgentIndex)
    entries: EntryIndex = field(default_factory=EntryIndex)
    seen: Seen = field(default_factory=Seen)
    bundle: Bundle | None = None

    def __post_init__(self) -> None:
        self.bundle = self.ca.bundle()
        self.entries.put(entry("1", ADMIN, admin=True))
        self.entries.put(entry("2", DOWNSTREAM, downstream=True))
        self.entries.put(entry("3", WORKLOAD))
        self.gate = Gate(
            clock=self.clock,
            observer=self.seen,
            entries=self.entries,
            agents=self.agents,
            bundles=self,
            admin_ids=frozenset({STATIC_ADMIN}),
        )

    def bundle_for(self, trust_domain: TrustDomain) -> Bundle | None:
        return self.bundle if trust_domain == self.ca.trust_domain else None

    def caller(self, spiffe_id: SpiffeId, ttl: float = 3600) -> TlsCaller:
        chain = self.ca.issue(spiffe_id, ttl=ttl).chain
        return TlsCaller("ipv4:192.0.2.1:1", verify_chain(chain, self.ca.bundle(), self.ca.now))

    def agent(self, ttl: float = 3600, **record: str) -> TlsCaller:
        """An agent in good standing; `record` is what its record says instead."""
        caller = self.caller(AGENT, ttl)
        assert caller.svid is not None
        good = Agent(
            id=AGENT,
            attestation_type="join_token",
            serial_number=str(caller.svid.serial),
            expires_at=int(caller.svid.not_after),
        )
        self.agents.put(replace(good, **record))  # type: ignore[arg-type]
        return caller

    def admit(self, method: str, caller: object) -> Identity:
        call = FakeCall(method, caller)  # type: ignore[arg-type]
        self.gate.admit(call)  # type: ignore[arg-type]
        assert isinstance(call.identity, Identity)
        return call.identity

    def refusal(self, method: str, caller: object) -> StatusError:
        with pytest.raises(StatusError) as refused:
            self.admit(method, caller)
        return refused.value


def entry(
    entry_id: str, spiffe_id: SpiffeId, *, admin: bool = False, downstream: bool = False
) -> Entry:
    parent = SpiffeId.parse("spiffe://example.org/spire/agent/x")
    return Entry(
        id=entry_id,
        spiffe_id=spiffe_id,
        parent_id=parent,
        selectors=(),
        admin=admin,
        downstream=downstream,
    )
