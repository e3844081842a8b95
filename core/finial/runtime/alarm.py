"""Waiting for a time, unless somebody calls earlier."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Alarm:
    """A task's sleep that others can cut short. A ring before the wait is not lost."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """End the wait that goes on, or else the next one."""
        self._rung.set()

    async def wait(self, sleep: Coroutine[Any, Any, object] | None = None) -> None:
        """Return when the alarm is rung or `sleep` (a clock's) is over, whichever is first."""
        if sleep is None:
            await self._rung.wait()
        else:
            await self._or(sleep)
        self._rung.clear()

    async def _or(self, sleep: Coroutine[Any, Any, object]) -> None:
        waits = [asyncio.ensure_future(sleep), asyncio.ensure_future(self._rung.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.wait(waits)
