"""Waiting in tests for what other tasks will do, without guessing how long they take."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.clock import FakeClock

PATIENCE = 10.0
FLOODED = 1.0


async def eventually(holds: Callable[[], object], patience: float = PATIENCE) -> None:
    """Give way until the condition holds. Raises AssertionError after `patience` real seconds."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("the condition never came to hold")
        await asyncio.sleep(0.002)


async def pass_time(clock: FakeClock, seconds: float, step: float = 2.0) -> None:
    """Let fake time pass in steps, with real sockets and threads answering in between."""
    while seconds > 0:
        await clock.advance(min(step, seconds))
        seconds -= step
        await _rest()


async def _rest() -> None:
    """Return when nothing has happened for a while: fake time must not outrun sockets and disks.

    What never rests (a stream that floods) is let be after a while.
    """
    began, quiet = time.monotonic(), 0
    while quiet < 3:
        waited = time.monotonic() - began
        if waited > PATIENCE:
            raise TimeoutError("a thread of the pool never came to its end")
        await asyncio.sleep(0.0005)
        busy = _threads_work() or (waited < FLOODED and _sockets_wait())
        quiet = 0 if busy else quiet + 1


def _threads_work() -> bool:
    """Whether a call of `asyncio.to_thread` is under way."""
    pool = getattr(asyncio.get_running_loop(), "_default_executor", None)
    return pool is not None and pool._idle_semaphore._value < len(pool._threads)


def _sockets_wait() -> bool:
    """Whether something has come that the event loop has not taken up."""
    selector = getattr(asyncio.get_running_loop(), "_selector", None)
    return selector is not None and bool(selector.select(0))
