"""Rate limits: whom they hold up, for how long, and what they refuse."""

import asyncio

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo

from finial.runtime.observe import CallInfo
from finial.runtime.rpc import StatusError, TlsCaller
from finial.server.api.authorization import CallerKind
from finial.server.api.gate import Identity
from finial.server.api.ratelimit import MOST_LINES, Limited, RateLimits, RateLimitSettings
from finial.server.api.token_bucket import TokenBucket
from finial.server.api.turns import CrowdedError, Line, Turns
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.ca import FakeCa
from tests.fakes.call import LOCAL, FakeCall, svid_caller
from tests.fakes.clock import FakeClock, settle

ONE = RateLimitSettings(attestations_per_second=1)


def caller(host: str = "192.0.2.1", port: int = 4711) -> TlsCaller:
    return TlsCaller(f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}", None)


class Calls:
    """Limits on a clock, and calls that ask them."""

    def __init__(self, settings: RateLimitSettings | None = None) -> None:
        self.clock = FakeClock()
        self.refusal: StatusError | None = None
        self.limits = RateLimits(self.clock, settings or ONE, self._check_again)

    def _check_again(self, _context: object) -> None:
        if self.refusal is not None:
            raise self.refusal

    def ask(
        self,
        limited: Limited = Limited.ATTESTATION,
        cost: int = 1,
        peer: TlsCaller | None = None,
        remaining: float | None = None,
    ) -> "asyncio.Task[None]":
        call = FakeCall(caller=peer or caller(), remaining=remaining)
        return self.admit(call, limited, cost)

    def admit(
        self, call: FakeCall, limited: Limited = Limited.ATTESTATION, cost: int = 1
    ) -> "asyncio.Task[None]":
        admitted = self.limits.admit(call, limited, cost)  # type: ignore[arg-type]
        return asyncio.get_running_loop().create_task(admitted)


async def test_a_second_attestation_from_one_address_waits_a_second() -> None:
    calls = Calls()
    first, second = calls.ask(), calls.ask(peer=caller(port=9))
    await settle()
    assert first.done()
    assert not second.done()
    await calls.clock.advance(1.0)
    assert second.done()


async def test_addresses_do_not_hold_each_other_up() -> None:
    calls = Calls()
    asked = [calls.ask(peer=caller(f"192.0.2.{number}")) for number in range(5)]
    await settle()
    assert all(task.done() for task in asked)


async def test_a_call_whose_turn_comes_after_its_deadline_is_refused_and_takes_nothing() -> None:
    calls = Calls()
    await calls.ask()
    refused = calls.ask(remaining=0.5)
    await settle()
    assert refused.done()
    with pytest.raises(StatusError, match="rate limiting") as error:
        await refused
    assert error.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    next_one = calls.ask()
    await calls.clock.advance(1.0)
    assert next_one.done()


async def test_who_gives_up_waiting_keeps_nobody_else_waiting() -> None:
    calls = Calls()
    await calls.ask()
    given_up = [calls.ask() for _ in range(100)]
    await settle()
    for call in given_up:
        call.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    patient = calls.ask(remaining=1.5)
    await settle()
    await calls.clock.advance(1.0)
    assert patient.done()
    assert patient.exception() is None


async def test_who_lost_its_right_while_it_waited_is_refused() -> None:
    calls = Calls()
    await calls.ask()
    waiting = calls.ask()
    await settle()
    calls.refusal = StatusError(grpc.StatusCode.PERMISSION_DENIED, "banned")
    await calls.clock.advance(1.0)
    with pytest.raises(StatusError, match="banned"):
        await waiting


async def test_more_than_a_full_bucket_is_refused_at_once() -> None:
    calls = Calls()
    with pytest.raises(StatusError) as error:
        await calls.ask(Limited.X509_SIGNING, 501)
    assert error.value.message == (
        "rejecting request due to certificate signing rate limiting: "
        "rate (501) exceeds burst size (500)"
    )
    await calls.ask(Limited.X509_SIGNING, 500)


async def test_local_callers_are_not_limited() -> None:
    calls = Calls()
    for _ in range(100):
        await calls.limits.admit(
            FakeCall(caller=LOCAL),  # type: ignore[arg-type]
            Limited.X509_SIGNING,
            1000,
        )


async def test_limits_that_are_switched_off_hold_nobody_up() -> None:
    calls = Calls(RateLimitSettings(attestation=False, signing=False))
    for limited in (Limited.ATTESTATION, Limited.X509_SIGNING, Limited.JWT_SIGNING):
        await calls.ask(limited, 1000)


async def test_statuses_are_always_limited() -> None:
    calls = Calls(RateLimitSettings(attestation=False, signing=False))
    asked = [calls.ask(Limited.STATUS) for _ in range(11)]
    await settle()
    assert [task.done() for task in asked] == [True] * 10 + [False]
    await calls.clock.advance(0.1)
    assert asked[-1].done()


# -- who is one caller ---------------------------------------------------------------------


async def test_a_network_of_ipv6_is_one_caller_and_the_port_is_no_part_of_it() -> None:
    calls = Calls()
    asked = [
        calls.ask(peer=caller("2001:db8::1", 1)),
        calls.ask(peer=caller("2001:db8::ffff", 2)),
        calls.ask(peer=caller("2001:db8:0:1::1", 3)),
    ]
    await settle()
    assert [task.done() for task in asked] == [True, False, True]
    asked[1].cancel()


async def test_an_address_in_its_ipv6_form_is_the_same_caller() -> None:
    calls = Calls()
    await calls.ask(peer=caller("192.0.2.1"))
    mapped = calls.ask(peer=caller("::ffff:192.0.2.1"))
    await settle()
    assert not mapped.done()
    mapped.cancel()


def identified(ca: FakeCa, path: str, kind: CallerKind) -> FakeCall:
    """A call by an SVID that the gate found to be of that kind, from one address for all."""
    svid = ca.issue(f"spiffe://example.org{path}")
    verified = verify_chain(svid.chain, ca.bundles(), FakeClock().time())
    info = CallInfo("test-1", "/test/Test", "", kind.value, "")
    return FakeCall(caller=svid_caller(verified, "ipv4:192.0.2.1:1"), identity=Identity(info, kind))


@pytest.mark.parametrize("kind", [CallerKind.AGENT, CallerKind.DOWNSTREAM])
async def test_attested_identities_behind_one_address_do_not_hold_each_other_up(
    kind: CallerKind,
) -> None:
    calls, ca = Calls(), FakeCa()
    first, again, second = (
        calls.admit(identified(ca, path, kind)) for path in ("/spire/agent/a",) * 2 + ("/b",)
    )
    await settle()
    assert [task.done() for task in (first, again, second)] == [True, False, True]
    again.cancel()


async def test_a_certificate_that_the_gate_gave_no_right_for_is_no_identity() -> None:
    calls, ca = Calls(), FakeCa()
    asked = [calls.admit(identified(ca, path, CallerKind.ANY)) for path in ("/a", "/b")]
    await settle()
    assert [task.done() for task in asked] == [True, False]
    asked[1].cancel()


# -- the line ------------------------------------------------------------------------------


def retry_after(error: StatusError) -> float:
    (info,) = error.details
    assert isinstance(info, RetryInfo)
    seconds: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return seconds


async def test_a_thousand_agents_behind_one_address_attest_within_a_minute() -> None:
    calls = Calls(RateLimitSettings())
    asked = [calls.ask(remaining=60.0) for _ in range(1000)]
    await settle()
    await calls.clock.advance(60.0)
    assert all(task.done() and task.exception() is None for task in asked)


async def test_calls_are_admitted_in_the_order_in_which_they_came() -> None:
    calls, order = Calls(), list[int]()
    asked = [calls.ask() for _ in range(6)]
    for number, task in enumerate(asked):
        task.add_done_callback(lambda _, number=number: order.append(number))  # type: ignore[misc]
    await settle()
    asked[2].cancel()
    await calls.clock.advance(3.0)
    late = calls.ask()
    await settle()
    await calls.clock.advance(1.0)
    assert order == [0, 2, 1, 3, 4, 5]
    assert not late.done()
    late.cancel()


async def test_who_gives_up_at_the_head_of_the_line_leaves_its_turn_to_the_next() -> None:
    calls = Calls()
    await calls.ask()
    head, second = calls.ask(), calls.ask()
    await settle()
    await calls.clock.advance(0.9)
    head.cancel()
    await calls.clock.advance(0.1)
    assert second.done()


async def test_a_refusal_says_when_to_come_again() -> None:
    calls = Calls()
    await calls.ask()
    with pytest.raises(StatusError) as refused:
        await calls.ask(remaining=0.25)
    assert retry_after(refused.value) == pytest.approx(1.0)


async def test_what_nobody_gets_at_once_is_refused_without_a_time_to_come_again() -> None:
    with pytest.raises(StatusError) as refused:
        await Calls().ask(Limited.X509_SIGNING, 501)
    assert refused.value.details == ()


async def test_nobody_waits_for_more_than_a_minute() -> None:
    calls = Calls()
    asked = [calls.ask() for _ in range(63)]
    await settle()
    assert [task for task in asked if task.done()] == [asked[0], *asked[61:]]
    with pytest.raises(StatusError, match="too many calls of this caller are waiting") as refused:
        await asked[61]
    assert retry_after(refused.value) == pytest.approx(61.0)
    await drop(asked[1:])


async def drop(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_callers_line_is_bounded_however_fast_it_moves() -> None:
    turns = Turns(FakeClock(), most=100, of_one=3, longest=1e9)
    line = Line(TokenBucket(rate=1000.0, burst=1, tokens=0.0, updated=0.0))
    asked = [asyncio.ensure_future(turns.wait(line, 1, None)) for _ in range(4)]
    await settle()
    assert [task.done() for task in asked] == [False, False, False, True]
    with pytest.raises(CrowdedError):
        await asked[3]
    await drop(asked)
    assert turns.waiting == 0


async def test_when_too_many_wait_the_longest_line_gives_way_to_another_caller() -> None:
    clock = FakeClock()
    turns = Turns(clock, most=4, of_one=4, longest=1e9)
    greedy, modest = (
        Line(TokenBucket(rate=1.0, burst=1, tokens=0.0, updated=0.0)) for _ in range(2)
    )
    many = [asyncio.ensure_future(turns.wait(greedy, 1, None)) for _ in range(4)]
    await settle()
    first, second = (asyncio.ensure_future(turns.wait(modest, 1, None)) for _ in range(2))
    await settle()
    assert [task.done() for task in many] == [False, False, True, True]
    assert turns.waiting == 4
    with pytest.raises(CrowdedError):
        await turns.wait(modest, 1, None)
    await clock.advance(2.0)
    assert first.done()
    assert second.done()
    assert (await asyncio.gather(*many[:2], return_exceptions=True)) == [None, None]
    await drop(many)
    assert turns.waiting == 0


# -- memory --------------------------------------------------------------------------------


async def test_buckets_of_callers_that_went_away_are_forgotten() -> None:
    calls = Calls()
    for number in range(50):
        await calls.ask(peer=caller(f"192.0.2.{number}"))
    await calls.clock.advance(2)
    for number in range(50):
        await calls.ask(peer=caller(f"198.51.100.{number}"))
    assert len(calls.limits) == 50


async def test_a_flood_of_different_callers_takes_bounded_memory_and_leaves_known_ones_alone() -> (
    None
):
    calls = Calls()
    known = calls.ask()
    for number in range(MOST_LINES + 10):
        call = FakeCall(caller=caller(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"))
        admitted = calls.limits.admit(call, Limited.STATUS)  # type: ignore[arg-type]
        await admitted
    assert len(calls.limits) <= MOST_LINES + len(Limited)
    await known
    again = calls.ask()
    await settle()
    assert not again.done()
    again.cancel()
