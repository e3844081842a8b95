"""Pauses between attempts: longer each time, bounded, and not the same for everybody."""

from typing import Protocol

from finial.runtime.clock import Clock


class Rng(Protocol):
    """What is needed of `random.Random`."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number between `a` and `b`."""
        ...


class Backoff:
    """Doubling pauses from `base` to `cap` seconds, each varied by +-`jitter` of itself.

    The jitter keeps a fleet that lost one server together from coming back together.
    """

    def __init__(
        self, clock: Clock, rng: Rng, *, base: float = 1.0, cap: float = 60.0, jitter: float = 0.2
    ) -> None:
        if not (0 < base <= cap and 0 <= jitter < 1):
            raise ValueError("a backoff needs 0 < base <= cap and 0 <= jitter < 1")
        self._clock = clock
        self._rng = rng
        self._base = base
        self._cap = cap
        self._jitter = jitter
        self._next = base

    def next_delay(self) -> float:
        """The pause before the next attempt, in seconds; at most `cap` plus its jitter."""
        delay = self._next
        self._next = min(self._cap, delay * 2)
        return delay * self._rng.uniform(1 - self._jitter, 1 + self._jitter)

    def reset(self) -> None:
        """Start from `base` again: an attempt has succeeded."""
        self._next = self._base

    async def wait(self) -> float:
        """Sleep through the next pause; returns its length in seconds."""
        delay = self.next_delay()
        await self._clock.sleep(delay)
        return delay
