"""Orders the X.509-SVIDs that the cache finds due, in batches, a fresh key each."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

import grpc

from finial.agent import keys, rotation
from finial.agent.sync.server import MAX_BATCH, ProtocolError, Unissued
from finial.runtime.alarm import Alarm
from finial.runtime.backoff import Backoff
from finial.runtime.logging import log
from finial.runtime.rpc import RpcError
from finial.spiffe.errors import X509SvidError
from finial.spiffe.x509_svid import X509Svid

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from finial.agent.cache.entries import Entry
    from finial.agent.cache.workloads import Workloads
    from finial.agent.sync.identity import AgentIdentity
    from finial.agent.sync.server import ServerClient
    from finial.runtime.clock import Clock

A = TypeVar("A")
R = TypeVar("R")

logger = logging.getLogger(__name__)

RETRY_BASE = 0.5
RETRY_CAP = 4.0
# Keys and requests for more than this at once would hold up every caller of the Workload API; a
# single RSA key (0.1 s) does.
_ON_THE_LOOP = 50

_NOT_FOR_ITS_SIZE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.CANCELLED,
    }
)


class SvidIssuer:
    """Keeps the cache's X.509-SVIDs fresh.

    `alarm` is rung when something may have become due; `stored` is called when SVIDs have come in.
    """

    def __init__(
        self,
        *,
        workloads: Workloads,
        client: ServerClient,
        identity: AgentIdentity,
        clock: Clock,
        rng: random.Random,
        key_type: keys.KeyType = keys.KeyType.EC_P256,
        stored: Callable[[], None] = lambda: None,
    ) -> None:
        self._workloads = workloads
        self._client = client
        self._identity = identity
        self._clock = clock
        self._rng = rng
        self._key_type = key_type
        self._stored = stored
        self.alarm = Alarm()

    async def run(self) -> None:
        """Order what is due, wait for the next, for ever. Raises AgentError."""
        backoff = Backoff(self._clock, self._rng, base=RETRY_BASE, cap=RETRY_CAP)
        while True:
            due = self._workloads.due(self._clock.time())
            if not due:
                await self._wait_for_work()
            elif await self._issue(due):
                backoff.reset()
            else:
                await self.alarm.wait(self._clock.sleep(backoff.next_delay()))

    async def _wait_for_work(self) -> None:
        rotation_at = self._workloads.next_rotation()
        if rotation_at is None:
            await self.alarm.wait()
        else:
            await self.alarm.wait(self._clock.sleep_until(rotation_at))

    async def _issue(self, due: Sequence[Entry]) -> bool:
        """Order all of them; return whether every order was filled."""
        filled = True
        size = MAX_BATCH
        while due:
            batch = due[:size]
            generation = self._identity.generation
            try:
                filled = await self._issue_batch(batch) and filled
            except (RpcError, ProtocolError) as error:
                if len(batch) > 1 and _was_too_much(error):
                    size = len(batch) // 2
                    continue
                self._failed(due, error)
                if isinstance(error, RpcError):
                    await self._identity.react(error, generation)
                return False
            due = due[len(batch) :]
        return filled

    async def _issue_batch(self, batch: Sequence[Entry]) -> bool:
        slow = self._key_type is keys.KeyType.RSA_2048
        orders = await _inline_or_thread(self._make_orders, batch, most=0 if slow else _ON_THE_LOOP)
        results = await self._client.x509_svids(
            [(entry.id, csr) for entry, (_, csr) in zip(batch, orders, strict=True)]
        )
        svids: list[tuple[Entry, X509Svid]] = []
        failed: list[str] = []
        pending = []
        for entry, (key, _), result in zip(batch, orders, results, strict=True):
            if isinstance(result, Unissued):
                failed.append(entry.id)
                _complain(entry, result.message)
            else:
                pending.append((entry, result, key))
        for entry, parsed in await _inline_or_thread(_parse, pending):
            if isinstance(parsed, X509Svid):
                svids.append((entry, parsed))
            else:
                failed.append(entry.id)
                _complain(entry, parsed)
        self._put(svids)
        self._workloads.mark_failed(failed)
        return not failed

    def _make_orders(self, batch: Sequence[Entry]) -> list[tuple[bytes, bytes]]:
        orders = []
        for entry in batch:
            key = keys.new_key(self._key_type)
            orders.append((keys.pkcs8(key), keys.request(key, entry.spiffe_id)))
        return orders

    def _put(self, svids: Sequence[tuple[Entry, X509Svid]]) -> None:
        now = self._clock.time()
        self._workloads.put_svids(
            (entry, svid, rotation.rotation_time(now, svid.not_after, self._rng))
            for entry, svid in svids
        )
        self._stored()
        log(logger, logging.DEBUG, "X.509-SVIDs received", count=len(svids))

    def _failed(self, due: Sequence[Entry], error: Exception) -> None:
        self._workloads.mark_failed(entry.id for entry in due)
        log(logger, logging.ERROR, "X.509-SVIDs were not issued", count=len(due), error=str(error))


async def _inline_or_thread(
    work: Callable[[Sequence[A]], R], items: Sequence[A], most: int = _ON_THE_LOOP
) -> R:
    if len(items) <= most:
        return work(items)
    return await asyncio.to_thread(work, items)


def _parse(
    pending: Sequence[tuple[Entry, tuple[bytes, ...], bytes]],
) -> list[tuple[Entry, X509Svid | str]]:
    """Read each chain with its key; what cannot be used is a message instead."""
    parsed: list[tuple[Entry, X509Svid | str]] = []
    for entry, chain, key in pending:
        try:
            svid = X509Svid.parse(chain, key)
        except X509SvidError as error:
            parsed.append((entry, str(error)))
            continue
        if svid.id != entry.spiffe_id:
            parsed.append((entry, f"server issued {svid.id} instead of {entry.spiffe_id}"))
        else:
            parsed.append((entry, svid))
    return parsed


def _was_too_much(error: Exception) -> bool:
    """Whether a smaller call may pass where this one failed."""
    return isinstance(error, RpcError) and error.code() not in _NOT_FOR_ITS_SIZE


def _complain(entry: Entry, error: str) -> None:
    log(
        logger,
        logging.ERROR,
        "X.509-SVID was not issued",
        entry_id=entry.id,
        spiffe_id=entry.spiffe_id.uri,
        error=error,
    )
