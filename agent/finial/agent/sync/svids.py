"""Orders the X.509-SVIDs that the cache finds due, in batches, a fresh key each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from finial.agent import keys, rotation
from finial.agent.sync.batches import (
    JUDGED_ON_THE_LOOP,
    ON_THE_LOOP,
    RETRY_BASE,
    RETRY_CAP,
    Batches,
    inline_or_thread,
)
from finial.agent.sync.pace import Pace
from finial.agent.sync.server import MAX_BATCH, Unissued
from finial.runtime.alarm import Alarm
from finial.runtime.backoff import Backoff
from finial.runtime.logging import log
from finial.spiffe import certificate
from finial.spiffe.bundle import BundleSet
from finial.spiffe.errors import X509SvidError
from finial.spiffe.x509_svid import X509Svid, verify_chain

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Sequence

    from finial.agent.cache.entries import Entry
    from finial.agent.cache.workloads import Workloads
    from finial.agent.sync.identity import AgentIdentity
    from finial.agent.sync.server import ServerClient
    from finial.runtime.clock import Clock
    from finial.spiffe.bundle import BundleSource

logger = logging.getLogger(__name__)

CLOCKS_DIFFER = 60.0
"""Seconds that the server's clock may be ahead of ours: a server backdates by 10 s only, and the
workload's peers, who judge by clocks of their own, need not be late with us."""


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
        self._clock = clock
        self._rng = rng
        self._key_type = key_type
        self._stored = stored
        self._batches = Batches(
            "X.509-SVID",
            largest=MAX_BATCH,
            issue=self._issue,
            mark_failed=self._mark_failed,
            workloads=workloads,
            identity=identity,
        )
        self._pace = Pace()
        self._failed: dict[str, None] = {}  # entries their latest order left due, oldest first
        self._retry_at = 0.0  # of the monotonic clock, 0 when their pause is over
        self.alarm = Alarm()

    async def run(self) -> None:
        """Order what is due, wait for the next, for ever. Raises AgentError."""
        backoff = Backoff(self._clock, self._rng, base=RETRY_BASE, cap=RETRY_CAP)
        while True:
            due = self._paced(self._workloads.due(self._clock.time()))
            if not due:
                await self._wait_for_work()
            elif await self._batches.order(due):
                if not self._failed:
                    backoff.reset()
            else:
                self._retry_at = self._clock.monotonic() + backoff.next_delay()

    def _paced(self, due: Sequence[Entry]) -> list[Entry]:
        """Those whose turn it is; what failed comes last, and not before its pause is over."""
        now, monotonic = self._clock.time(), self._clock.monotonic()
        by_id = {entry.id: entry for entry in due}
        self._failed = {entry_id: None for entry_id in self._failed if entry_id in by_id}
        if monotonic >= self._retry_at:
            self._retry_at = 0.0
        first = [entry for entry in due if entry.id not in self._failed]
        last = [by_id[entry_id] for entry_id in self._failed]
        return self._pace.choose(
            first if self._retry_at else first + last,
            lambda entry: self._workloads.can_wait(entry, now),
            monotonic,
        )

    async def _wait_for_work(self) -> None:
        rotation_at = self._workloads.next_rotation()
        now = self._clock.monotonic()
        pauses = [self._pace.wait(now)] if self._pace.held_back else []
        if self._failed and self._retry_at:
            pauses.append(max(self._retry_at - now, 0.0))
        if pauses:
            await self.alarm.wait(self._clock.sleep(min(pauses)))
            if self._clock.monotonic() < now + min(pauses):
                self._retry_at = 0.0  # the alarm was rung: whatever failed may do better now
        elif rotation_at is None:
            await self.alarm.wait()
        else:
            await self.alarm.wait(self._clock.sleep_until(rotation_at))

    async def _issue(self, batch: Sequence[Entry]) -> bool:
        slow = self._key_type is keys.KeyType.RSA_2048
        orders = await inline_or_thread(self._make_orders, batch, most=0 if slow else ON_THE_LOOP)
        results = await self._client.x509_svids(
            [(entry.id, csr) for entry, (_, csr) in zip(batch, orders, strict=True)]
        )
        svids: list[tuple[Entry, X509Svid]] = []
        failed: list[str] = []
        pending = []
        for entry, (key, _), result in zip(batch, orders, results, strict=True):
            if isinstance(result, Unissued):
                failed.append(entry.id)
                self._batches.complain(entry, result.message)
            else:
                pending.append((entry, result, key))
        for entry, parsed in await self._judged(pending):
            if isinstance(parsed, X509Svid):
                svids.append((entry, parsed))
            else:
                failed.append(entry.id)
                self._batches.complain(entry, parsed)
        self._put(svids)
        self._mark_failed(failed)
        # By an authority that is tainted already: the next one would be, too, without a pause.
        held = [(entry.id, self._workloads.held(entry.id)) for entry, _ in svids]
        doubtful = [entry_id for entry_id, one in held if one is not None and one.tainted]
        self._left_due(doubtful)
        return not failed and not doubtful

    def _mark_failed(self, entry_ids: Iterable[str]) -> None:
        failed = list(entry_ids)
        self._left_due(failed)
        self._workloads.mark_failed(failed)

    def _left_due(self, entry_ids: Iterable[str]) -> None:
        for entry_id in entry_ids:
            self._failed.pop(entry_id, None)
            self._failed[entry_id] = None

    async def _judged(
        self, pending: Sequence[tuple[Entry, tuple[bytes, ...], bytes]]
    ) -> list[tuple[Entry, X509Svid | str]]:
        """Judge by the bundle as it is when that is done: it may change meanwhile."""
        while True:
            own = self._workloads.bundles.own
            judged = await inline_or_thread(self._judge, pending, most=JUDGED_ON_THE_LOOP)
            if self._workloads.bundles.own is own:
                return judged

    def _judge(
        self, pending: Sequence[tuple[Entry, tuple[bytes, ...], bytes]]
    ) -> list[tuple[Entry, X509Svid | str]]:
        """Read each chain with its key; what cannot be used is a message instead."""
        own = self._workloads.bundles.own
        trusted = BundleSet(() if own is None else (own.bundle,))
        now = self._clock.time()
        judged: list[tuple[Entry, X509Svid | str]] = []
        for entry, chain, key in pending:
            try:
                judged.append((entry, _svid_for(entry, chain, key, trusted, now)))
            except X509SvidError as error:
                judged.append((entry, str(error)))
        return judged

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
        for entry, _ in svids:
            self._failed.pop(entry.id, None)
        self._stored()
        log(logger, logging.DEBUG, "X.509-SVIDs received", count=len(svids))


def _svid_for(
    entry: Entry, chain: tuple[bytes, ...], key: bytes, trusted: BundleSource, now: float
) -> X509Svid:
    """The SVID that was ordered, and not merely one that the server sent.

    Raises:
        X509SvidError: it is of another key or ID, a CA's, expired, not valid for longer than clocks
            differ, not by an authority of the bundle that workloads get with it, or outlives the
            certificate that signed it.
    """
    svid = X509Svid.parse(chain, key)
    if svid.id != entry.spiffe_id:
        raise X509SvidError(f"server issued {svid.id} instead of {entry.spiffe_id}")
    valid_from = min(svid.not_before, now + CLOCKS_DIFFER)
    proven = verify_chain(chain, trusted, max(now, valid_from))
    signer = chain[1] if len(chain) > 1 else proven.root_der
    if svid.not_after > certificate.validity_of(certificate.load(signer)).not_after:
        raise X509SvidError("server issued an SVID that outlives the authority that signed it")
    return svid
