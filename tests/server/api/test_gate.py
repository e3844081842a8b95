"""The gate: each method with each kind of caller, and what a refusal says."""

import grpc
import pytest

from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.runtime.rpc import StatusError, TlsCaller
from finial.server.api.authorization import TABLE, CallerKind
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.ca import FakeCa
from tests.fakes.call import ANONYMOUS, LOCAL, FakeCall
from tests.server.api.gate_world import (
    ADMIN,
    AGENT,
    DOWNSTREAM,
    GET_BUNDLE,
    LIST,
    STATIC_ADMIN,
    SYNC,
    WORKLOAD,
    World,
)

Reason = PermissionDeniedDetails


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
        ("PERMISSION_DENIED (agent is not attested)", SYNC, "any", WORKLOAD.uri),
    ]
