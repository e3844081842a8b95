"""How far the agent has come: starting, ready, or without a server to start from."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finial.runtime.health import Check


class Phase(Enum):
    """Where the first sync stands."""

    STARTING = auto()  # under way, nothing has failed yet
    FAILING = auto()  # under way, and an attempt has failed
    READY = auto()  # done; stays so


class Readiness:
    """Says when calls can be served; early callers wait here while the start is going well."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._settled = asyncio.Event()
        self.phase = Phase.STARTING
        self.last_sync = 0.0
        """When the latest sync succeeded, Unix seconds; 0 before the first."""

    def synced(self, now: float) -> None:
        """A sync has succeeded just now, in Unix seconds."""
        self.last_sync = now
        self.phase = Phase.READY
        self._check.ok()
        self._settled.set()

    def unreachable(self, reason: str) -> None:
        """An attempt has failed. An agent that was ready stays so: it serves what it has."""
        if self.phase is Phase.READY:
            return
        self._check.not_ready(reason)
        self.phase = Phase.FAILING
        self._settled.set()

    async def settled(self) -> None:
        """Wait until the first sync has succeeded or an attempt has failed."""
        await self._settled.wait()
