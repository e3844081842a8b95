"""How far the change feed goes, as this server knows, and whether it is still the same feed.

A feed can go backwards: a replica that was promoted may lack the last commits of the primary that
died, or the database was restored. Revisions are then given a second time, to other changes. So
they count within a history, and whoever follows the feed is told when another one has begun.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple


class Sighting(NamedTuple):
    """The last revision as a thread found it, and the horizon's mark when it began to look."""

    origin: str
    revision: int
    history: int
    known: int


class Horizon:
    """Moves on the event loop only; its numbers may be read on any thread.

    `origin` tells databases apart, and the lives of one between two promotions, as far as the
    database can say. `history` counts how often the feed was found to be another.
    """

    def __init__(self, origin: str, revision: int) -> None:
        self.origin = origin
        self.revision = revision
        self.history = 0
        self._moved = asyncio.Event()

    def mark(self) -> tuple[int, int]:
        """Return the history and the revision that are known now."""
        return self.history, self.revision

    def see(self, seen: Sighting) -> None:
        """Take in what a thread has found, which others may have overtaken meanwhile."""
        if self._is_another(seen):
            self.history += 1
            self.origin, self.revision = seen.origin, seen.revision
        elif seen.revision > self.revision and seen.origin == self.origin:
            self.revision = seen.revision
        else:
            return
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _is_another(self, seen: Sighting) -> bool:
        if seen.history != self.history:
            return False  # looked at before the present history was known to have begun
        return seen.origin != self.origin or seen.revision < seen.known

    async def wait_beyond(self, revision: int, history: int | None = None) -> None:
        """Return once the feed goes beyond a revision, or is not that history any more."""
        while self.revision <= revision and history in {None, self.history}:
            await self._moved.wait()
