"""The gate: each method with each kind of caller, and what a refusal says."""

import logging
from dataclasses import dataclass, field, replace

import grpc
import pytest

from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.runtime.observe import CallInfo, Observer
from finial.runtime.rpc import StatusError, TlsCaller
from finial.server.api.authorization import TABLE, CallerKind
from finial.server.api.gate import Gate, Identity
from finial.server.registry.agents import AgentIndex
from finial.server.registry.index import EntryIndex
from finial.server.registry.model import Agent, Entry
from finial.spiffe.bundle import Bundle
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.ca import FakeCa
from tests.fakes.call import ANONYMOUS, LOCAL, FakeCall
from tests.fakes.clock import FakeClock

AGENT = SpiffeId.parse("spiffe://example.org/spire/agent/join_token/one")
STATIC_ADMIN = SpiffeId.parse("spiffe://example.org/static-admin")
ADMIN = SpiffeId.parse("spiffe://example.org/admin")
DOWNSTREAM = SpiffeId.parse("spiffe://example.org/downstream")
WORKLOAD = SpiffeId.parse("spiffe://example.org/workload")
SYNC = "/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries"
LIST = "/spire.api.server.entry.v1.Entry/ListEntries"
GET_BUNDLE = "/spire.api.server.bundle.v1.Bundle/GetBundle"
Reason = PermissionDeniedDetails


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


def reason_of(error: StatusError) -> int | None:
    if not error.details:
        return None
    assert len(error.details) == 1
    detail = error.details[0]
    assert isinstance(detail, PermissionDeniedDetails)
    return detail.reason


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("method", TABLE)
def test_each_method_is_open_to_the_kinds_in_the_table_and_to_no_other(
    world: World, method: str
) -> None:
    callers: dict[CallerKind | None, list[object]] = {
        CallerKind.LOCAL: [LOCAL],
        CallerKind.ADMIN: [world.caller(ADMIN), world.caller(STATIC_ADMIN)],
        CallerKind.DOWNSTREAM: [world.caller(DOWNSTREAM)],
        CallerKind.AGENT: [world.agent()],
        None: [ANONYMOUS, world.caller(WORKLOAD), world.caller(SpiffeId(f"{AGENT}/other"))],
    }
    for kind, peers in callers.items():
        for peer in peers:
            if CallerKind.ANY in TABLE[method]:
                assert world.admit(method, peer).kind is CallerKind.ANY
            elif kind in TABLE[method]:
                assert world.admit(method, peer).kind is kind
            else:
                refused = world.refusal(method, peer)
                assert refused.code is grpc.StatusCode.PERMISSION_DENIED
                assert refused.message == f"authorization denied for method {method}"


def test_a_method_outside_the_table_is_refused_to_everybody(world: World) -> None:
    for caller in (LOCAL, ANONYMOUS, world.caller(STATIC_ADMIN), world.agent()):
        assert world.refusal("/x.Y/Z", caller).code is grpc.StatusCode.PERMISSION_DENIED


def test_the_handler_finds_the_agent_that_calls(world: World) -> None:
    identity = world.admit(SYNC, world.agent())
    assert identity.agent is world.agents.get(AGENT)
    assert identity.promotes == ""


def test_an_agent_without_record_is_told_that_it_is_not_attested(world: World) -> None:
    refused = world.refusal(SYNC, world.caller(AGENT))
    assert reason_of(refused) == Reason.AGENT_NOT_ATTESTED


def test_a_banned_agent_is_told_so(world: World) -> None:
    refused = world.refusal(SYNC, world.agent(serial_number=""))
    assert reason_of(refused) == Reason.AGENT_BANNED


def test_an_agent_with_another_serial_is_told_that_it_is_not_active(world: World) -> None:
    refused = world.refusal(SYNC, world.agent(serial_number="77"))
    assert reason_of(refused) == Reason.AGENT_NOT_ACTIVE


async def test_an_agent_whose_certificate_ends_on_an_open_connection_is_expired(
    world: World,
) -> None:
    caller = world.agent(ttl=60)
    world.admit(SYNC, caller)
    await world.clock.advance(61)
    assert reason_of(world.refusal(SYNC, caller)) == Reason.AGENT_EXPIRED


def test_the_first_use_of_a_renewed_serial_asks_for_its_promotion(world: World) -> None:
    caller = world.agent()
    assert caller.svid is not None
    serial = str(caller.svid.serial)
    world.agent(serial_number="77", new_serial_number=serial)
    assert world.admit(SYNC, caller).promotes == serial


def test_a_ban_between_two_calls_counts_at_the_second(world: World) -> None:
    caller = world.agent()
    world.admit(SYNC, caller)
    world.agent(serial_number="")
    assert reason_of(world.refusal(SYNC, caller)) == Reason.AGENT_BANNED


def test_a_long_stream_is_refused_when_its_agent_is_banned(world: World) -> None:
    call = FakeCall(SYNC, world.agent())
    world.gate.admit(call)  # type: ignore[arg-type]
    world.gate.check_again(call)  # type: ignore[arg-type]
    world.agent(serial_number="")
    with pytest.raises(StatusError, match="authorization denied"):
        world.gate.check_again(call)  # type: ignore[arg-type]


def test_a_long_stream_whose_agent_has_renewed_does_not_cost_it_its_new_certificate(
    world: World,
) -> None:
    call = FakeCall(SYNC, world.agent())
    world.gate.admit(call)  # type: ignore[arg-type]
    world.agent(serial_number="77")
    with pytest.raises(StatusError, match="call again with the new one") as refused:
        world.gate.check_again(call)  # type: ignore[arg-type]
    assert refused.value.code is grpc.StatusCode.UNAVAILABLE
    assert not refused.value.details
    assert reason_of(world.refusal(SYNC, call.caller)) == Reason.AGENT_NOT_ACTIVE


def test_callers_without_certificate_get_no_detail(world: World) -> None:
    for caller in (LOCAL, ANONYMOUS):
        assert reason_of(world.refusal(SYNC, caller)) is None


def test_an_administrator_is_no_agent(world: World) -> None:
    assert reason_of(world.refusal(SYNC, world.caller(ADMIN))) == Reason.AGENT_NOT_ATTESTED


def test_rights_end_with_the_entry_that_gave_them(world: World) -> None:
    caller = world.caller(ADMIN)
    world.admit(LIST, caller)
    world.entries.remove("1")
    assert world.refusal(LIST, caller).code is grpc.StatusCode.PERMISSION_DENIED


async def test_an_administrators_rights_end_with_the_certificate(world: World) -> None:
    for caller in (world.caller(ADMIN, ttl=60), world.caller(STATIC_ADMIN, ttl=60)):
        world.admit(LIST, caller)
        await world.clock.advance(61)
        assert world.refusal(LIST, caller).code is grpc.StatusCode.PERMISSION_DENIED
        await world.clock.advance(-61)


def test_a_root_that_left_the_bundle_proves_nothing_any_more(world: World) -> None:
    agent, admin = world.agent(), world.caller(STATIC_ADMIN)
    world.admit(SYNC, agent)
    world.bundle = FakeCa().bundle()
    for method, caller in ((SYNC, agent), (LIST, admin)):
        refused = world.refusal(method, caller)
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        assert "no longer in the bundle" in refused.message
    world.bundle = None
    assert world.refusal(SYNC, agent).code is grpc.StatusCode.UNAUTHENTICATED


def test_what_is_open_to_anybody_is_open_to_a_bad_certificate_too(world: World) -> None:
    world.bundle = None
    world.admit(GET_BUNDLE, world.caller(AGENT))


def test_an_id_of_another_trust_domain_has_no_right(world: World) -> None:
    foreign = FakeCa("other.org")
    chain = foreign.issue("spiffe://other.org/admin").chain
    caller = TlsCaller("ipv4:192.0.2.1:1", verify_chain(chain, foreign.bundle(), foreign.now))
    for method in (SYNC, LIST):
        assert world.refusal(method, caller).code is grpc.StatusCode.UNAUTHENTICATED


def test_every_call_is_observed_twice_with_its_caller_also_a_refused_one(world: World) -> None:
    for method, caller in ((LIST, LOCAL), (SYNC, world.caller(WORKLOAD))):
        call = FakeCall(method, caller)
        try:
            world.gate.admit(call)  # type: ignore[arg-type]
            code = grpc.StatusCode.OK
        except StatusError as error:
            code = error.code
        world.gate.finished(call, code, "", 0.1)  # type: ignore[arg-type]
    told = [(what, info.method, info.kind, str(info.caller)) for what, info in world.seen.calls]
    assert told == [
        ("started", LIST, "local", str(LOCAL)),
        ("OK", LIST, "local", str(LOCAL)),
        ("started", SYNC, "any", WORKLOAD.uri),
        ("PERMISSION_DENIED", SYNC, "any", WORKLOAD.uri),
    ]
