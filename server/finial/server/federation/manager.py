"""Keeping the bundles of all trust domains current that this server federates with.

One task a relationship: what is dead or slow holds up nobody else. Relationships come from the
configuration file and, where that has none, from the database, whoever changes it there.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from finial.runtime.logging import log
from finial.runtime.tasks import TaskGroup
from finial.server.federation.refresher import Refresher, World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from finial.runtime.backoff import Rng
    from finial.runtime.clock import Clock
    from finial.runtime.health import Check
    from finial.server.datastore.federated_bundles import FederatedBundles
    from finial.server.federation.refresher import Fetcher, Refreshed
    from finial.server.registry.feed import FeedReader
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.federation import Outcome, Relationship
    from finial.spiffe.trust_domain import TrustDomain

logger = logging.getLogger(__name__)


class _Keeper:
    """Stores what was fetched, and waits until this server serves it."""

    def __init__(self, store: FederatedBundles, reader: FeedReader) -> None:
        self._store = store
        self._reader = reader

    async def take(self, fetched: Bundle) -> Outcome:
        return await self._store.take(fetched)

    async def caught_up(self) -> None:
        await self._reader.caught_up()


class BundleManager:
    """Runs a refresher for each relationship; `run` for as long as the server lives.

    Args:
        own: this server's trust domain, whose bundle is never fetched.
        static: relationships of the configuration file; each hides the stored one of its domain.
        reader: the relationships and bundles as they are now, and word of their changes.
        store: where fetched bundles go.
        fetcher: what asks the endpoints.
        check: told of what fails. The server stays ready: it goes on with the bundles it has.
    """

    def __init__(
        self,
        *,
        own: TrustDomain,
        static: Sequence[Relationship],
        reader: FeedReader,
        store: FederatedBundles,
        fetcher: Fetcher,
        clock: Clock,
        rng: Rng,
        check: Check,
    ) -> None:
        self._own = own
        self._static = {each.trust_domain.name: each for each in static}
        self._reader = reader
        self._check = check
        self._world = World(fetcher, _Keeper(store, reader), reader.bundles, clock, rng)
        self._refreshers: dict[str, tuple[Refresher, asyncio.Task[None]]] = {}
        self._group: TaskGroup | None = None
        self._applied = -1

    async def run(self) -> None:
        """Follow the relationships until cancelled."""
        async with TaskGroup() as group:
            self._group = group
            self._reader.subscribe(self._feed_applied)
            self._apply(group)
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    async def refresh(self, trust_domain: TrustDomain) -> bool:
        """Fetch a bundle now; False when there is no relationship with its trust domain.

        Raises:
            RefreshError: it was not fetched, or not stored.
        """
        found = self._refreshers.get(trust_domain.name)
        if found is None:
            return False
        await found[0].fetch_now()
        return True

    def states(self) -> Mapping[str, Refreshed]:
        """How it stands with each bundle, by the name of its trust domain."""
        return {name: refresher.state for name, (refresher, _) in self._refreshers.items()}

    def _feed_applied(self, concerned: object) -> None:
        bundles_changed = concerned is None
        if self._group is not None and (
            bundles_changed or self._reader.relationships.changes != self._applied
        ):
            self._apply(self._group)

    def _apply(self, group: TaskGroup) -> None:
        self._applied = self._reader.relationships.changes
        wanted = {**self._reader.relationships.all(), **self._static}
        wanted.pop(self._own.name, None)
        for name, (refresher, task) in list(self._refreshers.items()):
            if wanted.get(name) != refresher.state.relationship:
                task.cancel()
                del self._refreshers[name]
        for name, relationship in wanted.items():
            if name in self._refreshers:
                self._refreshers[name][0].bundles_changed()
            else:
                self._start(group, name, relationship)
        self._report()

    def _start(self, group: TaskGroup, name: str, relationship: Relationship) -> None:
        is_static = name in self._static
        refresher = Refresher(relationship, self._world, is_static=is_static, changed=self._report)
        log(
            logger,
            logging.INFO,
            "federating",
            trust_domain=name,
            url=relationship.url.text,
            profile=relationship.profile.value,
            configured=is_static,
        )
        task = group.start(f"bundle of {name}", refresher.run())
        self._refreshers[name] = (refresher, task)

    def _report(self) -> None:
        states = self.states()
        failing = sorted(name for name, state in states.items() if state.error)
        if not failing:
            self._check.ok()
            return
        self._check.ok(
            f"{len(failing)} of {len(states)} federated bundles cannot be fetched; "
            f"{failing[0]}: {states[failing[0]].error}"
        )
