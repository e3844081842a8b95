"""The job that removes what has expired: entries, join tokens, issued SVIDs, old feed rows.

Of several servers on one database each has the job: what one has removed the others don't find.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from finial.runtime.logging import log
from finial.server.datastore.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from finial.runtime.clock import Clock
    from finial.server.datastore.entries import EntryStore
    from finial.server.datastore.feed import FeedStore
    from finial.server.datastore.issued import IssuedStore
    from finial.server.datastore.tokens import TokenStore

INTERVAL_SECONDS = 300.0
"""SPIRE's: an expired entry is served until the job has passed."""

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    Job = Callable[[float], Awaitable[int]]
    """Removes some of what has expired by a time in Unix seconds; tells how many."""


class Pruner:
    """Prunes the stores every five minutes of the clock, and whatever `more` names."""

    def __init__(
        self,
        clock: Clock,
        entries: EntryStore,
        tokens: TokenStore,
        issued: IssuedStore,
        feed: FeedStore,
        *,
        more: Mapping[str, Job] | None = None,
    ) -> None:
        self._clock = clock
        self._jobs: dict[str, Job] = {
            "entries": entries.prune_expired,
            "join tokens": tokens.prune_expired,
            "issued svids": issued.prune_expired,
            "feed": feed.prune,
            **(more or {}),
        }

    async def run(self) -> None:
        """Prune now and then every five minutes, until cancelled."""
        while True:
            await self.prune()
            await self._clock.sleep(INTERVAL_SECONDS)

    async def prune(self) -> None:
        """Prune everything that has expired by now, in small transactions."""
        for what, job in self._jobs.items():
            try:
                removed = await self._all_of(job)
            except StoreError as error:
                log(logger, logging.ERROR, "cannot prune", what=what, error=str(error))
                continue
            if removed:
                log(logger, logging.INFO, "pruned", what=what, removed=removed)

    async def _all_of(self, job: Job) -> int:
        now = self._clock.time()
        total = 0
        while removed := await job(now):
            total += removed
        return total
