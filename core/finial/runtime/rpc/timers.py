"""Many timers on the injected clock, at the price of one sleeping task."""

import asyncio
import heapq
import logging
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger(__name__)

_SLACK = 64


class MonotonicClock(Protocol):
    """What the transport needs of `finial.runtime.clock.Clock`."""

    def time(self) -> float: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    async def sleep_until(self, wall: float) -> None: ...


class WallClock:
    """The wall clock in the place of the monotonic one, for `Timers` that follow it when it is set.

    What is due at a time of day stays due at it.
    """

    __slots__ = ("_clock",)

    def __init__(self, clock: MonotonicClock) -> None:
        self._clock = clock

    def time(self) -> float:
        return self._clock.time()

    def monotonic(self) -> float:
        return self._clock.time()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.time() + seconds)

    async def sleep_until(self, wall: float) -> None:
        await self._clock.sleep_until(wall)


class Timer:
    """One callback to come. `cancel` lets go of it at once."""

    __slots__ = ("_callback", "_timers", "when")

    def __init__(self, when: float, callback: Callable[[], None], timers: "Timers") -> None:
        self.when = when
        self._callback: Callable[[], None] | None = callback
        self._timers = timers

    def __lt__(self, other: "Timer") -> bool:
        return self.when < other.when

    @property
    def cancelled(self) -> bool:
        return self._callback is None

    def cancel(self) -> None:
        if self._callback is not None:
            self._callback = None
            self._timers.one_cancelled()

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            try:
                callback()
            except Exception:  # noqa: BLE001  # must not stop the other timers
                _log.exception("a timer's callback failed")


class Timers:
    """Calls back at times of the monotonic clock. `close` forgets them all and stops the task."""

    def __init__(self, clock: MonotonicClock) -> None:
        self._clock = clock
        self._heap: list[Timer] = []
        self._cancelled = 0
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` once, `seconds` from now."""
        timer = Timer(self._clock.monotonic() + seconds, callback, self)
        heapq.heappush(self._heap, timer)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="rpc timers")
        elif self._heap[0] is timer:
            self._wake.set()
        return timer

    def now(self) -> float:
        """Return the monotonic time."""
        return self._clock.monotonic()

    def one_cancelled(self) -> None:
        self._cancelled += 1
        if self._cancelled > _SLACK and self._cancelled * 2 > len(self._heap):
            self._heap = [timer for timer in self._heap if not timer.cancelled]
            heapq.heapify(self._heap)
            self._cancelled = 0

    async def close(self) -> None:
        self._heap.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._fire_due()
            self._wake.clear()
            if not self._heap:
                await self._wake.wait()
                continue
            await self._sleep(self._heap[0].when - self._clock.monotonic())

    def _fire_due(self) -> None:
        now = self._clock.monotonic()
        while self._heap and (self._heap[0].when <= now or self._heap[0].cancelled):
            timer = heapq.heappop(self._heap)
            if timer.cancelled:
                self._cancelled -= 1
            timer.fire()

    async def _sleep(self, seconds: float) -> None:
        """Sleep so long or until an earlier timer is set."""
        loop = asyncio.get_running_loop()
        sleep = loop.create_task(self._clock.sleep(seconds))
        wake = loop.create_task(self._wake.wait())
        try:
            await asyncio.wait((sleep, wake), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            wake.cancel()
            await asyncio.gather(sleep, wake, return_exceptions=True)
