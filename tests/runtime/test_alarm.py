import asyncio

from finial.runtime.alarm import Alarm
from tests.fakes.clock import FakeClock


async def test_the_wait_ends_with_the_sleep_or_with_a_ring_whichever_is_first() -> None:
    clock, alarm = FakeClock(), Alarm()
    waiting = asyncio.create_task(alarm.wait(clock.sleep(10)))
    await clock.advance(9)
    assert not waiting.done()
    await clock.advance(1)
    assert waiting.done()
    waiting = asyncio.create_task(alarm.wait(clock.sleep(10)))
    await clock.advance(1)
    alarm.ring()
    await clock.advance(0)
    assert waiting.done()
    assert clock.sleepers == 0


async def test_without_a_sleep_only_a_ring_ends_the_wait() -> None:
    clock, alarm = FakeClock(), Alarm()
    waiting = asyncio.create_task(alarm.wait())
    await clock.advance(1000)
    assert not waiting.done()
    alarm.ring()
    await clock.advance(0)
    assert waiting.done()


async def test_a_ring_before_the_wait_ends_it_and_only_it() -> None:
    clock, alarm = FakeClock(), Alarm()
    alarm.ring()
    await alarm.wait(clock.sleep(10))
    waiting = asyncio.create_task(alarm.wait(clock.sleep(10)))
    await clock.advance(5)
    assert not waiting.done()
    await clock.advance(5)
    assert waiting.done()
