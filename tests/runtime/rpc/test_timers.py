import asyncio
from functools import partial

from finial.runtime.rpc.timers import Timers
from tests.fakes.clock import FakeClock


async def test_timers_fire_in_order_and_once() -> None:
    clock = FakeClock()
    timers = Timers(clock)
    fired: list[str] = []
    timers.after(3, lambda: fired.append("c"))
    timers.after(1, lambda: fired.append("a"))
    timers.after(2, lambda: fired.append("b"))
    await clock.advance(0.5)
    assert fired == []
    await clock.advance(2)
    assert fired == ["a", "b"]
    await clock.advance(10)
    assert fired == ["a", "b", "c"]
    await timers.close()


async def test_an_earlier_timer_set_later_does_not_wait_for_the_first() -> None:
    clock = FakeClock()
    timers = Timers(clock)
    fired = asyncio.Event()
    timers.after(100, lambda: None)
    await clock.advance(1)
    timers.after(1, fired.set)
    await clock.advance(1)
    assert fired.is_set()
    await timers.close()


async def test_a_cancelled_timer_never_fires_and_is_let_go() -> None:
    clock = FakeClock()
    timers = Timers(clock)
    fired: list[int] = []
    for number in range(1000):
        timers.after(10, partial(fired.append, number)).cancel()
    assert len(timers._heap) < 200
    timers.after(5, lambda: fired.append(-1))
    await clock.advance(20)
    assert fired == [-1]
    await timers.close()


async def test_a_failing_callback_does_not_stop_the_others() -> None:
    clock = FakeClock()
    timers = Timers(clock)
    fired: list[int] = []

    def fail() -> None:
        raise RuntimeError("a bug")

    timers.after(1, fail)
    timers.after(1, lambda: fired.append(1))
    await clock.advance(1)
    assert fired == [1]
    await timers.close()


async def test_closing_leaves_no_task() -> None:
    timers = Timers(FakeClock())
    timers.after(1, lambda: None)
    before = len(asyncio.all_tasks())
    await timers.close()
    assert len(asyncio.all_tasks()) == before - 1
