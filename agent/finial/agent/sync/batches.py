"""What all orders to the server in batches have in common."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

import grpc

from finial.agent.sync.server import ProtocolError
from finial.runtime.logging import log
from finial.runtime.rpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from finial.agent.cache.entries import Entry
    from finial.agent.cache.workloads import Workloads
    from finial.agent.sync.identity import AgentIdentity

logger = logging.getLogger(__name__)

A = TypeVar("A")
R = TypeVar("R")

RETRY_BASE = 0.5
RETRY_CAP = 4.0
MOST_ALONE = 8
"""Orders that may fail one by one before the server is given a pause."""

# More than this at once would hold up every caller of the Workload API for longer than 6 ms. A key
# with its request takes 120 us (but an RSA key 0.1 s), to judge what was issued for it 350 us.
ON_THE_LOOP = 50
JUDGED_ON_THE_LOOP = 16

_NOT_FOR_ITS_SIZE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.CANCELLED,
    }
)


async def inline_or_thread(work: Callable[[Sequence[A]], R], items: Sequence[A], most: int) -> R:
    """Do the work on the loop for up to `most` items, on a thread for more."""
    if len(items) <= most:
        return work(items)
    return await asyncio.to_thread(work, items)


class Batches:
    """Has entries' documents ordered, in batches as large as the server can answer for.

    `issue` orders one batch, and returns whether all of it was filled and is not due again at once;
    it may raise RpcError and ProtocolError, which `order` deals with, and others, which pass.
    `mark_failed` is told of the entries that nothing could be had for; `document` is what a log
    line calls one.
    """

    def __init__(
        self,
        document: str,
        *,
        largest: int,
        issue: Callable[[Sequence[Entry]], Awaitable[bool]],
        mark_failed: Callable[[Iterable[str]], None],
        workloads: Workloads,
        identity: AgentIdentity,
    ) -> None:
        self._document = document
        self._largest = largest
        self._issue = issue
        self._mark_failed = mark_failed
        self._workloads = workloads
        self._identity = identity
        self._hopeless: set[str] = set()  # entries whose order failed with nobody else's

    async def order(self, due: Sequence[Entry]) -> bool:
        """Order all of them; return whether every order was filled, and is not due again at once.

        An order that fails alone goes last from then on: one entry that the server cannot answer
        for must not starve those that come after it.
        """
        due = sorted(due, key=lambda entry: entry.id in self._hopeless)
        filled = True
        size = self._largest
        alone = 0
        while due:
            batch = due[:size]
            generation = self._identity.generation
            try:
                filled = await self._issue(batch) and filled
            except (RpcError, ProtocolError) as error:
                if len(batch) > 1 and _may_be_of_the_batch(error):
                    size = len(batch) // 2
                    continue
                alone += 1
                if alone > MOST_ALONE or not self._is_its_own(batch, error):
                    self._failed(due, error)
                    if isinstance(error, RpcError):
                        await self._identity.react(error, generation)
                    return False
                self._failed(batch, error)
                filled = False
            else:
                self._hopeless.difference_update(entry.id for entry in batch)
                size = min(2 * size, self._largest)
            due = due[len(batch) :]
        return filled

    def complain(self, entry: Entry, error: str) -> None:
        """Log why there is no document for an entry."""
        log(
            logger,
            logging.ERROR,
            f"{self._document} was not issued",
            entry_id=entry.id,
            spiffe_id=entry.spiffe_id.uri,
            error=error,
        )

    def _is_its_own(self, batch: Sequence[Entry], error: RpcError | ProtocolError) -> bool:
        """Whether an order that failed alone leaves hope for the others; it is noted."""
        if not _may_be_of_the_batch(error):
            return False
        self._hopeless = {entry.id for entry in batch} | (
            self._hopeless & self._workloads.entries.keys()
        )
        return not (
            isinstance(error, RpcError) and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        )

    def _failed(self, due: Sequence[Entry], error: Exception) -> None:
        self._mark_failed(entry.id for entry in due)
        if len(due) == 1:
            self.complain(due[0], str(error))
            return
        text = f"{self._document}s were not issued"
        log(logger, logging.ERROR, text, count=len(due), error=str(error))


def _may_be_of_the_batch(error: Exception) -> bool:
    """Whether other orders, or fewer, may pass where these failed."""
    return isinstance(error, ProtocolError) or (
        isinstance(error, RpcError) and error.code() not in _NOT_FOR_ITS_SIZE
    )
