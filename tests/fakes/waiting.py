"""Waiting in tests for what other tasks will do, without guessing how long they take."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.clock import FakeClock

PATIENCE = 10.0


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
        for _ in range(3):
            await asyncio.sleep(0.0005)
        async with asyncio.timeout(PATIENCE):
            while _threads_work():  # noqa: ASYNC110  # nothing tells when a pool has come to rest
                await asyncio.sleep(0.0005)


def _threads_work() -> bool:
    """Whether a call of `asyncio.to_thread` is under way: fake time must not outrun a disk."""
    pool = getattr(asyncio.get_running_loop(), "_default_executor", None)
    return pool is not None and pool._idle_semaphore._value < len(pool._threads)
