import asyncio
import time
from typing import NoReturn

import pytest

from finial.runtime import clock as clock_module
from finial.runtime.clock import SystemClock
from tests.fakes.clock import FakeClock, settle


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock = FakeClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 30), ("early", 10), ("middle", 20)):
            group.create_task(sleeper(name, seconds))
        await clock.advance(30)

    assert woken == [("early", 10), ("middle", 20), ("late", 30)]


async def test_who_sleeps_again_on_waking_is_woken_again_within_one_advance() -> None:
    clock = FakeClock()
    ticks: list[float] = []

    async def ticker() -> None:
        while len(ticks) < 5:
            await clock.sleep(1)
            ticks.append(clock.time())

    task = asyncio.create_task(ticker())
    await clock.advance(5)

    assert task.done()
    assert ticks == [1_800_000_001.0 + n for n in range(5)]


async def test_nobody_wakes_before_the_time() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(10))
    await clock.advance(9.999)
    assert not task.done()
    assert clock.sleepers == 1
    await clock.advance(0.001)
    assert task.done()
    assert clock.sleepers == 0


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(10))
    await settle()
    task.cancel()
    await settle()
    assert clock.sleepers == 0
    await clock.advance(20)


async def test_a_jump_forward_wakes_who_waits_for_a_wall_time_and_nobody_else() -> None:
    clock = FakeClock()
    by_wall = asyncio.create_task(clock.sleep_until(clock.time() + 3600))
    by_interval = asyncio.create_task(clock.sleep(3600))
    await settle()
    clock.jump(3600)
    await settle()
    assert by_wall.done()
    assert not by_interval.done()
    assert clock.monotonic() == 0
    by_interval.cancel()


async def test_a_jump_back_makes_a_wall_time_farther() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep_until(clock.time() + 100))
    await settle()
    clock.jump(-50)
    await clock.advance(149)
    assert not task.done()
    await clock.advance(1)
    assert task.done()


async def test_wall_times_that_floats_cannot_add_exactly_are_reached() -> None:
    clock = FakeClock(start=1_800_000_000.1)
    task = asyncio.create_task(clock.sleep_until(1_800_000_000.1 + 0.7000001))
    await clock.advance(1)
    assert task.done()


async def test_the_system_clock_does_not_wait_for_a_moment_that_has_passed() -> None:
    await asyncio.wait_for(SystemClock().sleep_until(time.time() - 1), timeout=1)


async def test_the_system_clock_waits_for_a_moment() -> None:
    clock = SystemClock()
    moment = clock.time() + 0.05
    began = clock.monotonic()
    await clock.sleep_until(moment)
    assert clock.time() >= moment
    assert clock.monotonic() - began >= 0.04


class ShiftedClock(SystemClock):
    """The system clock, whose watch looks often."""

    def __init__(self) -> None:
        super().__init__()
        self._jumps.PERIOD = 0.01


class Wall:
    """Stands in for the time module: a wall clock that a test may set."""

    def __init__(self) -> None:
        self.shift = 0.0

    def time(self) -> float:
        return time.time() + self.shift

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, _: float) -> NoReturn:
        raise AssertionError("nobody blocks the loop")


async def test_the_system_clock_notices_that_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = Wall()
    monkeypatch.setattr(clock_module, "time", wall)
    clock = ShiftedClock()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        sleepers = [group.create_task(clock.sleep_until(clock.time() + 3600 + n)) for n in range(3)]
        await asyncio.sleep(0.03)
        assert not any(task.done() for task in sleepers)
        wall.shift = 3700
    assert all(task.done() for task in sleepers)


async def test_the_system_clock_notices_that_it_is_slewed(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = Wall()
    monkeypatch.setattr(clock_module, "time", wall)
    clock = ShiftedClock()
    async with asyncio.timeout(5):
        sleeper = asyncio.create_task(clock.sleep_until(clock.time() + 60))
        while not sleeper.done():
            wall.shift += 0.4  # each step alone is no jump
            await asyncio.sleep(0.015)


async def test_the_system_clock_leaves_no_timer_behind() -> None:
    clock = ShiftedClock()
    task = asyncio.create_task(clock.sleep_until(clock.time() + 3600))
    await asyncio.sleep(0.03)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock._jumps._next_look is not None
    assert clock._jumps._next_look.cancelled()
