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

    async def wait(self, sleep: Coroutine[Any, Any, object]) -> None:
        """Return when `sleep` (a clock's) is over or the alarm is rung, whichever is first."""
        waits = [asyncio.ensure_future(sleep), asyncio.ensure_future(self._rung.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.wait(waits)
        self._rung.clear()
