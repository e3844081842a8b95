"""Rate limits: whom they hold up, for how long, and what they refuse."""

import asyncio

import grpc
import pytest

from finial.runtime.rpc import StatusError, TlsCaller
from finial.server.api.ratelimit import Limited, RateLimits, RateLimitSettings, host_of
from tests.fakes.call import LOCAL, FakeCall
from tests.fakes.clock import FakeClock, settle


def caller(host: str = "192.0.2.1", port: int = 4711) -> TlsCaller:
    return TlsCaller(f"ipv4:{host}:{port}", None)


class Calls:
    """Limits on a clock, and calls that ask them."""

    def __init__(self, settings: RateLimitSettings | None = None) -> None:
        self.clock = FakeClock()
        self.refusal: StatusError | None = None
        self.limits = RateLimits(self.clock, settings or RateLimitSettings(), self._check_again)

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


async def test_buckets_of_addresses_that_went_away_are_forgotten() -> None:
    calls = Calls()
    for number in range(50):
        await calls.ask(peer=caller(f"192.0.2.{number}"))
    await calls.clock.advance(61)
    await calls.ask()
    assert len(calls.limits._buckets) == 1


def test_the_port_is_no_part_of_the_address() -> None:
    assert host_of("ipv4:192.0.2.1:4711") == "ipv4:192.0.2.1"
    assert host_of("ipv6:[2001:db8::1]:4711") == "ipv6:[2001:db8::1]"
