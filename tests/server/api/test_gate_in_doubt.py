"""The gate of a server that shares its database: another one may know of an agent already."""

import grpc
import pytest

from finial.runtime.rpc import StatusError, TlsCaller
from finial.server.api.authorization import CallerKind
from finial.server.api.gate import Gate, Identity
from finial.server.api.promotion import Promotion
from finial.server.registry.feed import NotAgreed
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.call import FakeCall
from tests.server.api.gate_world import ADMIN, AGENT, LIST, STATIC_ADMIN, SYNC, WORKLOAD, World


class SharedWorld(World):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.gate = Gate(
            clock=self.clock,
            observer=self.seen,
            entries=self.entries,
            agents=self.agents,
            bundles=self,
            admin_ids=frozenset({STATIC_ADMIN}),
            doubts=True,
        )

    def doubted(self, caller: TlsCaller) -> FakeCall:
        call = FakeCall(SYNC, caller)
        self.gate.admit(call)  # type: ignore[arg-type]
        assert isinstance(call.identity, Identity)
        assert call.identity.doubted
        assert call.identity.kind is CallerKind.ANY
        assert call.identity.agent is None
        return call

    def settled(self, call: FakeCall) -> Identity:
        self.gate.settle(call)  # type: ignore[arg-type]
        assert isinstance(call.identity, Identity)
        return call.identity


@pytest.fixture
def world() -> SharedWorld:
    return SharedWorld()


def test_an_agent_that_attested_elsewhere_is_let_in_once_its_record_is_here(
    world: SharedWorld,
) -> None:
    caller = world.agent()
    record = world.agents.pop(AGENT.uri)
    assert record is not None
    call = world.doubted(caller)
    world.agents.put(record)
    identity = world.settled(call)
    assert (identity.kind, identity.agent, identity.doubted) == (CallerKind.AGENT, record, False)
    assert identity.info.kind == "agent"


def test_the_call_of_one_who_was_let_in_late_ends_with_its_right_as_any_other(
    world: SharedWorld,
) -> None:
    caller = world.agent()
    record = world.agents.pop(AGENT.uri)
    assert record is not None
    call = world.doubted(caller)
    world.gate.review()
    assert call.cuts == []
    world.agents.put(record)
    world.settled(call)
    world.agents.pop(AGENT.uri)
    world.gate.review({AGENT.uri})
    assert len(call.cuts) == 1


def test_a_serial_that_another_server_has_renewed_is_promoted(world: SharedWorld) -> None:
    renewed = world.caller(AGENT)
    assert renewed.svid is not None
    world.agent()
    call = world.doubted(renewed)
    world.agent(new_serial_number=str(renewed.svid.serial))
    assert world.settled(call).promotes == str(renewed.svid.serial)


def test_one_who_evicted_and_attested_again_elsewhere_is_banned_no_more(
    world: SharedWorld,
) -> None:
    world.agent(serial_number="")
    caller = world.caller(AGENT)
    call = world.doubted(caller)
    assert caller.svid is not None
    world.agent(serial_number=str(caller.svid.serial))
    assert world.settled(call).kind is CallerKind.AGENT


@pytest.mark.parametrize("record", ["none", "banned", "another serial"])
def test_one_whom_the_database_does_not_know_better_is_refused(
    world: SharedWorld, record: str
) -> None:
    caller = world.agent(serial_number="" if record == "banned" else "5")
    if record == "none":
        world.agents.pop(AGENT.uri)
    call = world.doubted(caller)
    with pytest.raises(StatusError) as refused:
        world.settled(call)
    assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert refused.value.details


def test_nobody_else_is_in_doubt(world: SharedWorld) -> None:
    for method, caller in (
        (SYNC, world.caller(WORKLOAD)),
        (LIST, world.caller(AGENT)),
        (LIST, world.caller(SpiffeId(f"{ADMIN}/other"))),
    ):
        assert world.refusal(method, caller).code is grpc.StatusCode.PERMISSION_DENIED
    assert not world.admit(SYNC, world.agent()).doubted


async def test_the_end_of_a_certificate_is_beyond_doubt(world: SharedWorld) -> None:
    caller = world.agent(ttl=10)
    await world.clock.advance(11)
    assert world.refusal(SYNC, caller).code is grpc.StatusCode.PERMISSION_DENIED


async def test_one_is_not_refused_while_memory_does_not_agree_with_the_database(
    world: SharedWorld,
) -> None:
    async def behind() -> None:
        raise NotAgreed

    caller = world.agent()
    world.agents.pop(AGENT.uri)
    call = world.doubted(caller)
    promotion = Promotion(None, behind, world.gate, behind)  # type: ignore[arg-type]
    with pytest.raises(NotAgreed):
        await promotion(call)  # type: ignore[arg-type]
    assert isinstance(call.identity, Identity)
    assert call.identity.doubted
    assert call.cuts == []
