"""A clock that a test moves by hand."""

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field

from finial.runtime.clock import Clock

QUIET_ROUNDS = 4
MOST_ROUNDS = 100_000


@dataclass(order=True)
class _Sleeper:
    due: float  # on the monotonic clock
    order: int
    woken: "asyncio.Future[None]" = field(compare=False)
    wall: float | None = field(compare=False, default=None)


class FakeClock(Clock):
    """Wakes sleepers in the order of their times and lets the loop settle between two of them.

    `advance` moves both clocks; `jump` moves the wall clock alone, as an operator or NTP does.
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._wall_at_zero = start
        self._monotonic = 0.0
        self._sleepers: list[_Sleeper] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self._wall_at_zero + self._monotonic

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        await self._sleep(_Sleeper(self._monotonic + seconds, next(self._order), _future()))

    async def sleep_until(self, wall: float) -> None:
        # Compared as `due`, not as `time()`: the sum of two floats may round to just below `wall`.
        while (due := wall - self._wall_at_zero) > self._monotonic:
            await self._sleep(_Sleeper(due, next(self._order), _future(), wall))

    @property
    def sleepers(self) -> int:
        """How many wait on this clock."""
        return sum(not sleeper.woken.done() for sleeper in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks, waking whoever is due on the way."""
        target = self._monotonic + seconds
        await settle()
        while self._sleepers and self._sleepers[0].due <= target:
            sleeper = heapq.heappop(self._sleepers)
            if sleeper.woken.done():
                continue
            self._monotonic = max(self._monotonic, sleeper.due)
            sleeper.woken.set_result(None)
            await settle()
        self._monotonic = target
        await settle()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; who sleeps until a wall time plans anew."""
        self._wall_at_zero += seconds
        for sleeper in self._sleepers:
            if sleeper.wall is not None and not sleeper.woken.done():
                sleeper.woken.set_result(None)

    async def _sleep(self, sleeper: _Sleeper) -> None:
        heapq.heappush(self._sleepers, sleeper)
        try:
            await sleeper.woken
        finally:
            sleeper.woken.cancel()


async def settle() -> None:
    """Give way until no task of this loop is ready to run."""
    loop = asyncio.get_running_loop()
    quiet = 0
    for _ in range(MOST_ROUNDS):
        await asyncio.sleep(0)
        quiet = 0 if getattr(loop, "_ready", ()) else quiet + 1
        if quiet >= QUIET_ROUNDS:
            return
    raise AssertionError("the loop never settles: some task runs without ever waiting")


def _future() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()
