"""Time, as something that is passed in.

Validity is judged on the wall clock, waiting is done on the monotonic one. Whoever needs either
takes a `Clock`, so that a test moves both by hand and waits for nothing.
"""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """The two clocks of a machine and the two ways of waiting on them."""

    def time(self) -> float:
        """Wall clock, in Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never set back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long on the monotonic clock; zero or less gives way once."""
        ...

    async def sleep_until(self, wall: float) -> None:
        """Wait until the wall clock shows `wall` (Unix seconds), also when it is set meanwhile."""
        ...


class SystemClock(Clock):
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._jumps = _JumpWatch()

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def sleep_until(self, wall: float) -> None:
        while (left := wall - time.time()) > 0:
            await self._jumps.wait(left)


class _JumpWatch:
    """Wakes every sleeper when the wall clock leaves the monotonic one.

    One look a second for the whole process, and none while nobody sleeps: a timer for each SVID
    that polls on its own would cost more than the rotations do. Waking from suspension is a jump
    as well, because the monotonic clock stands still meanwhile.
    """

    PERIOD = 1.0
    TOLERANCE = 0.5

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._next_look: asyncio.TimerHandle | None = None
        self._offset = 0.0

    async def wait(self, seconds: float) -> None:
        """Return after `seconds`, or earlier when the wall clock has jumped."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        if not self._waiting:
            self._offset = _offset()
            self._next_look = loop.call_later(self.PERIOD, self._look, loop)
        self._waiting.add(woken)
        timer = loop.call_later(seconds, _wake, woken)
        try:
            await woken
        finally:
            timer.cancel()
            self._waiting.discard(woken)
            if not self._waiting and self._next_look is not None:
                self._next_look.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        offset = _offset()
        if abs(offset - self._offset) > self.TOLERANCE:
            # Measured from here only now: else a clock that is slewed would never seem to jump.
            self._offset = offset
            for sleeper in tuple(self._waiting):
                _wake(sleeper)
        self._next_look = loop.call_later(self.PERIOD, self._look, loop)


def _offset() -> float:
    return time.time() - time.monotonic()


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
