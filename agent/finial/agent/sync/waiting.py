"""Waiting: for whichever comes first, and for all of several."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

T = TypeVar("T")


class Bell:
    """Rung from anywhere on the loop; the one task that waits misses no ring."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, timer: Coroutine[None, None, None] | None = None) -> bool:
        """Return True when the bell has rung, False when the timer ended before."""
        if timer is None:
            await self._event.wait()
        else:
            await _first(self._event.wait(), timer)
        rung = self._event.is_set()
        self._event.clear()
        return rung


async def _first(*coroutines: Coroutine[None, None, object]) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def all_of(coroutines: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Run them side by side and return their results; the first failure cancels the others.

    A task group would wrap the failure in an exception group, which callers cannot catch by type.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
