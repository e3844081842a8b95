"""Asks the server, every few seconds, what this agent should know."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from finial.agent.cache.bundles import tainted_jwt_key_ids, tainted_key_ids
from finial.agent.errors import StorageError
from finial.agent.sync.entry_sync import SyncEndedError
from finial.agent.sync.server import ProtocolError
from finial.agent.sync.waiting import all_of
from finial.attestors.node.interface import AttestError
from finial.runtime.backoff import Backoff
from finial.runtime.logging import log
from finial.runtime.rpc import RpcError
from finial.spiffe.errors import SpiffeError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from finial.agent.cache.entries import Entry
    from finial.agent.cache.tokens import TokenShelf
    from finial.agent.cache.workloads import Workloads
    from finial.agent.sync.identity import AgentIdentity
    from finial.agent.sync.readiness import Readiness
    from finial.agent.sync.server import ServerClient
    from finial.agent.sync.trust import Trust
    from finial.runtime.clock import Clock
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.trust_domain import TrustDomain

logger = logging.getLogger(__name__)

DEFAULT_INTERVAL = 5.0
RETRY_BASE = 0.5
RETRY_CAP = 4.0  # with its jitter below 5 s: so long after the server all is well again
MAX_FEDERATED_CALLS = 10
_JITTER = 0.05


class Poller:
    """Brings entries and bundles into the cache; what the cache makes due, others order."""

    def __init__(
        self,
        *,
        workloads: Workloads,
        tokens: TokenShelf,
        client: ServerClient,
        identity: AgentIdentity,
        trust: Trust,
        readiness: Readiness,
        clock: Clock,
        rng: random.Random,
        changed: Callable[[], None],
        interval: float = DEFAULT_INTERVAL,
        version: str = "",
    ) -> None:
        self._workloads = workloads
        self._tokens = tokens
        self._client = client
        self._identity = identity
        self._trust = trust
        self._readiness = readiness
        self._clock = clock
        self._rng = rng
        self._changed = changed
        self._interval = interval
        self._version = version
        self._jwt_keys: frozenset[str] = frozenset()  # of the own bundle
        self._reported_for = 0  # the identity's generation that the version was reported with

    async def run(self) -> None:
        """Sync for ever. Raises AgentError when the server has given the agent up."""
        cap = min(max(self._interval, RETRY_BASE), RETRY_CAP)
        backoff = Backoff(self._clock, self._rng, base=RETRY_BASE, cap=cap)
        again = False
        while True:
            generation = self._identity.generation
            try:
                await self.sync()
            except RpcError as error:
                self._failed(f"{error.code().name}: {error.details()}")
                again = await self._identity.react(error, generation) and not again
                if not again:  # twice in a row would be a loop without a pause
                    await backoff.wait()
            except (SyncEndedError, ProtocolError, SpiffeError, AttestError, StorageError) as error:
                self._failed(str(error))
                await backoff.wait()
            else:
                again = False
                backoff.reset()
                await self._clock.sleep(
                    self._interval * self._rng.uniform(1 - _JITTER, 1 + _JITTER)
                )

    def _failed(self, reason: str) -> None:
        log(logger, logging.ERROR, "sync with the server failed", error=reason)
        self._readiness.unreachable(f"sync with the server failed: {reason}")

    async def sync(self) -> None:
        """Fetch entries and bundles once and hand them to the cache.

        Raises RpcError, SyncEndedError, ProtocolError, and SpiffeError for an unusable bundle.
        """
        bundle_task = asyncio.ensure_future(self._client.bundle())
        try:
            entries = await self._client.entries(self._workloads.entries)
            own = await bundle_task
        finally:
            bundle_task.cancel()
            await asyncio.gather(bundle_task, return_exceptions=True)
        await self._trust.take(own)
        bundles = await self._federated(entries.values())
        bundles[own.trust_domain] = own
        self._take(entries, bundles, own)
        await self._report()
        await self._identity.rotate_if_tainted(tainted_key_ids(own))
        await self._identity.rotate_if_cut_off(own)

    def _take(
        self, entries: dict[str, Entry], bundles: dict[TrustDomain, Bundle], own: Bundle
    ) -> None:
        changes = self._workloads.replace_bundles(bundles)
        keys = frozenset(key.key_id for key in own.jwt_authorities)
        self._tokens.drop_signed_by(tainted_jwt_key_ids(own) | (self._jwt_keys - keys))
        self._jwt_keys = keys
        count = self._workloads.replace_entries(entries)
        if count:
            log(logger, logging.DEBUG, "entries changed", changed=count, entries=len(entries))
        if changes or count or not self._workloads.synced:
            self._workloads.synced = True
            self._changed()
        self._readiness.synced(self._clock.time())

    async def _federated(self, entries: Iterable[Entry]) -> dict[TrustDomain, Bundle]:
        names = sorted({name for entry in entries for name in entry.federates_with})
        turn = asyncio.Semaphore(MAX_FEDERATED_CALLS)

        async def fetch(name: TrustDomain) -> Bundle | None:
            async with turn:
                return await self._client.federated_bundle(name)

        bundles: dict[TrustDomain, Bundle] = {}
        for name, bundle in zip(names, await all_of(map(fetch, names)), strict=True):
            if bundle is not None and bundle.trust_domain == name:
                bundles[name] = bundle
            else:
                log(
                    logger,
                    logging.WARNING,
                    "server has no bundle of a federated trust domain",
                    trust_domain=name.name,
                )
        return bundles

    async def _report(self) -> None:
        """Tell the server our version, once for each identity; of no consequence if it fails."""
        if self._reported_for == self._identity.generation:
            return
        self._reported_for = self._identity.generation
        try:
            await self._client.post_status(self._version)
        except RpcError as error:
            log(logger, logging.WARNING, "status was not reported", error=str(error))
