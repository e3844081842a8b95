"""The gate over time: the last second of a certificate, and rights that end during a call."""

import inspect

import grpc
import pytest

from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.runtime.rpc import StatusError, TlsCaller, UnixCaller
from finial.server.api.authorization import CallerKind
from finial.server.api.gate import Gate
from tests.fakes.ca import FakeCa
from tests.fakes.call import ANONYMOUS, LOCAL, FakeCall
from tests.server.api.gate_world import ADMIN, AGENT, LIST, STATIC_ADMIN, SYNC, World

RENEW = "/spire.api.server.agent.v1.Agent/RenewAgent"


class CutCall(FakeCall):
    """A call under way that keeps what it was cut with."""

    def __init__(self, method: str, caller: UnixCaller | TlsCaller) -> None:
        super().__init__(method, caller)
        self.ended_with: StatusError | None = None

    def cut(self, error: StatusError) -> None:
        self.ended_with = error


@pytest.fixture
def world() -> World:
    return World()


def under_way(world: World, method: str, caller: UnixCaller | TlsCaller) -> CutCall:
    call = CutCall(method, caller)
    world.gate.admit(call)  # type: ignore[arg-type]
    return call


def checked_again(world: World, call: FakeCall) -> StatusError:
    with pytest.raises(StatusError) as refused:
        world.gate.check_again(call)  # type: ignore[arg-type]
    return refused.value


async def test_a_certificate_gives_its_rights_up_to_its_very_end(world: World) -> None:
    agent, admin = world.agent(ttl=60), world.caller(ADMIN, ttl=60)
    await world.clock.advance(60)
    assert world.admit(SYNC, agent).kind is CallerKind.AGENT
    assert world.admit(LIST, admin).kind is CallerKind.ADMIN
    await world.clock.advance(0.5)
    for method, caller in ((SYNC, agent), (LIST, admin)):
        assert world.refusal(method, caller).code is grpc.StatusCode.PERMISSION_DENIED


def test_who_lost_another_right_during_a_call_is_not_told_to_call_again(world: World) -> None:
    admin, agent = (
        under_way(world, LIST, world.caller(ADMIN)),
        under_way(world, SYNC, world.agent()),
    )
    world.entries.remove("1")
    assert checked_again(world, admin).code is grpc.StatusCode.PERMISSION_DENIED
    world.bundle = FakeCa().bundle()
    assert checked_again(world, agent).code is grpc.StatusCode.UNAUTHENTICATED


def test_a_call_that_was_never_admitted_is_judged_all_the_same(world: World) -> None:
    refused = checked_again(world, FakeCall(SYNC, world.caller(ADMIN)))
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED


def test_a_review_ends_the_calls_whose_right_was_taken_and_no_other(world: World) -> None:
    agent = under_way(world, SYNC, world.agent())
    admin = under_way(world, LIST, world.caller(ADMIN))
    other = under_way(world, LIST, world.caller(STATIC_ADMIN))
    world.gate.review()
    assert agent.ended_with is admin.ended_with is other.ended_with is None
    world.entries.remove("1")
    world.agent(serial_number="")
    world.gate.review()
    assert admin.ended_with is not None
    assert not admin.ended_with.details
    assert agent.ended_with is not None
    (detail,) = agent.ended_with.details
    assert isinstance(detail, PermissionDeniedDetails)
    assert detail.reason == PermissionDeniedDetails.AGENT_BANNED
    assert other.ended_with is None


def test_a_review_looks_only_at_the_calls_of_those_it_is_told_of(world: World) -> None:
    agent = under_way(world, SYNC, world.agent())
    admins = [under_way(world, LIST, world.caller(ADMIN)) for _ in range(2)]
    world.entries.remove("1")
    world.agent(serial_number="")
    world.gate.review({AGENT.uri, "spiffe://example.org/nobody"})
    assert agent.ended_with is not None
    assert [admin.ended_with for admin in admins] == [None, None]
    world.gate.review({ADMIN.uri})
    assert all(admin.ended_with is not None for admin in admins)


def test_the_reason_for_which_a_review_ended_a_call_is_on_record_and_not_told(
    world: World,
) -> None:
    call = under_way(world, SYNC, world.agent())
    world.agent(serial_number="")
    world.gate.review()
    ended = call.ended_with
    assert ended is not None
    assert "banned" not in ended.message
    world.gate.finished(call, ended.code, ended.message, 0.1)  # type: ignore[arg-type]
    told, _ = world.seen.calls[-1]
    assert told.endswith(f"{ended.message} (agent is banned)")


def test_a_call_that_has_ended_or_was_refused_is_reviewed_no_more(world: World) -> None:
    ended = under_way(world, SYNC, world.agent())
    world.gate.finished(ended, grpc.StatusCode.OK, "", 0.1)  # type: ignore[arg-type]
    refused = CutCall(LIST, world.agent())
    with pytest.raises(StatusError):
        world.gate.admit(refused)  # type: ignore[arg-type]
    world.agent(serial_number="")
    world.gate.review()
    assert ended.ended_with is refused.ended_with is None


def test_a_call_that_has_ended_does_not_hide_another_of_the_same_caller(world: World) -> None:
    caller = world.agent()
    calls = [under_way(world, SYNC, caller) for _ in range(3)]
    world.gate.finished(calls[1], grpc.StatusCode.OK, "", 0.1)  # type: ignore[arg-type]
    world.agent(serial_number="")
    world.gate.review()
    assert [call.ended_with is not None for call in calls] == [True, False, True]


def test_what_is_open_to_all_and_local_calls_are_not_kept_for_review(world: World) -> None:
    for call in (
        under_way(world, LIST, LOCAL),
        under_way(world, "/spire.api.server.bundle.v1.Bundle/GetBundle", ANONYMOUS),
    ):
        call.method = "/no.such/Method"
        world.gate.review()
        assert call.ended_with is None


def test_the_record_says_where_a_caller_with_a_certificate_calls_from(world: World) -> None:
    for method, caller in ((SYNC, world.agent()), (LIST, LOCAL)):
        under_way(world, method, caller)
    with pytest.raises(StatusError):
        under_way(world, RENEW, ANONYMOUS)
    told = [(str(info.caller), info.peer) for _, info in world.seen.calls]
    assert told == [
        ("spiffe://example.org/spire/agent/join_token/one", "ipv4:192.0.2.1:1"),
        (str(LOCAL), ""),
        (ANONYMOUS.address, ""),
    ]


def test_what_the_gate_is_made_of_is_given_by_name() -> None:
    """The registry's rights and the agents' records are much alike."""
    parameters = inspect.signature(Gate).parameters.values()
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}
