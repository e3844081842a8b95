import asyncio
import random

import pytest

from finial.runtime.backoff import Backoff
from tests.fakes.clock import FakeClock


def test_pauses_double_up_to_the_cap() -> None:
    backoff = Backoff(FakeClock(), random.Random(1), base=1, cap=10, jitter=0)
    assert [backoff.next_delay() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_success_starts_over() -> None:
    backoff = Backoff(FakeClock(), random.Random(1), base=1, cap=10, jitter=0)
    backoff.next_delay()
    backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() == 1


def test_jitter_spreads_the_pauses_within_its_bounds() -> None:
    backoff = Backoff(FakeClock(), random.Random(1), base=10, cap=10, jitter=0.2)
    delays = [backoff.next_delay() for _ in range(200)]
    assert all(8 <= delay <= 12 for delay in delays)
    assert len(set(delays)) > 100


async def test_waiting_takes_the_pause_it_tells() -> None:
    clock = FakeClock()
    backoff = Backoff(clock, random.Random(1), base=4, cap=10, jitter=0)
    task = asyncio.create_task(backoff.wait())
    await clock.advance(4)
    assert await task == 4
    assert clock.monotonic() == 4


@pytest.mark.parametrize(("base", "cap", "jitter"), [(0, 1, 0), (2, 1, 0), (1, 2, 1), (1, 2, -1)])
def test_nonsense_bounds_are_refused(base: float, cap: float, jitter: float) -> None:
    with pytest.raises(ValueError, match="backoff"):
        Backoff(FakeClock(), random.Random(1), base=base, cap=cap, jitter=jitter)
