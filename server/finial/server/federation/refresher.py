"""Keeping the bundle of one trust domain current: fetch, judge, store, wait.

After a failure the wait is that to the next refresh (SPIFFE Federation section 4.1, FED-32). There
is none while no bundle is held: then the pauses begin short and grow up to the usual interval.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from finial.runtime.alarm import Alarm
from finial.runtime.backoff import Backoff
from finial.runtime.logging import log
from finial.server.datastore.errors import StoreError
from finial.server.federation.errors import RefreshError
from finial.server.federation.fetcher import FetchError
from finial.spiffe.errors import SpiffeError
from finial.spiffe.federation import Verdict, refresh_interval
from finial.spiffe.federation.polling import DEFAULT_INTERVAL, SHORTEST_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.runtime.backoff import Rng
    from finial.runtime.clock import Clock
    from finial.spiffe.bundle import Bundle, BundleSource
    from finial.spiffe.federation import FetchedBundle, Outcome, Relationship

_FAILURES = (FetchError, SpiffeError, OSError)

_LEVELS = {
    Verdict.TAKEN: logging.INFO,
    Verdict.UNCHANGED: logging.DEBUG,
    Verdict.OUTDATED: logging.WARNING,
    Verdict.UNCOUNTED: logging.WARNING,
}

logger = logging.getLogger(__name__)


class Fetcher(Protocol):
    """Asks bundle endpoints."""

    async def fetch(self, relationship: Relationship, bundles: BundleSource) -> FetchedBundle:
        """Return what the relationship's endpoint serves now.

        Raises:
            FetchError, SpiffeError, OSError: it was not to be had; the text says why.
        """
        ...


class Keeper(Protocol):
    """Stores fetched bundles."""

    async def take(self, fetched: Bundle) -> Outcome:
        """Store a bundle, unless what is stored is the same or newer.

        Raises:
            StoreError: what the database refused.
        """
        ...

    async def caught_up(self) -> None:
        """Return when what was stored is what this server serves."""
        ...


@dataclass(frozen=True, slots=True)
class Refreshed:
    """How it stands with one bundle; times in Unix seconds, None for never.

    Attributes:
        relationship: where it is fetched.
        is_static: the configuration file says so, not the database.
        succeeded_at: when it was last fetched, changed or not.
        failing_since: when it first could not be fetched, if it has not been since.
        error: why the last attempt failed, if it did; else empty.
        next_at: when it is fetched next.
    """

    relationship: Relationship
    is_static: bool
    succeeded_at: float | None = None
    failing_since: float | None = None
    error: str = ""
    next_at: float | None = None


@dataclass(frozen=True, slots=True)
class World:
    """What all refreshers share."""

    fetcher: Fetcher
    keeper: Keeper
    bundles: BundleSource
    clock: Clock
    rng: Rng


class Refresher:
    """Keeps one bundle current while it runs. `state` says how it stands.

    `changed` is called whenever that is different.
    """

    def __init__(
        self,
        relationship: Relationship,
        world: World,
        *,
        is_static: bool,
        changed: Callable[[], None],
    ) -> None:
        self.state = Refreshed(relationship, is_static)
        self._relationship = relationship
        self._world = world
        self._changed = changed
        self._fetching = asyncio.Lock()
        self._alarm = Alarm()
        self._due = 0.0  # on the monotonic clock
        self._root: Bundle | None = None
        self._backoff = Backoff(
            world.clock, world.rng, base=SHORTEST_INTERVAL, cap=DEFAULT_INTERVAL
        )

    async def run(self) -> None:
        """Fetch at once, and again whenever it is time, until cancelled."""
        clock = self._world.clock
        while True:
            await self._attempt()
            while (left := self._due - clock.monotonic()) > 0:
                await self._alarm.wait(clock.sleep(left))

    async def fetch_now(self) -> None:
        """Fetch out of turn; the next turn counts from here.

        Raises:
            RefreshError: the bundle was not fetched, or not stored.
        """
        error = await self._attempt()
        self._alarm.ring()
        if error:
            raise RefreshError(error)

    def bundles_changed(self) -> None:
        """Fetch at once what failed, when it may have been for want of the endpoint's bundle."""
        if self.state.error and self._endpoint_root() != self._root:
            self._due = self._world.clock.monotonic()
            self._alarm.ring()

    async def _attempt(self) -> str:
        """Fetch once; return what went wrong, or nothing."""
        async with self._fetching:
            self._root = self._endpoint_root()
            error = await self._fetch()
            self._note(error)
        return error

    async def _fetch(self) -> str:
        world = self._world
        try:
            fetched = await world.fetcher.fetch(self._relationship, world.bundles)
        except _FAILURES as error:
            return f"failed to fetch federated bundle from endpoint: {error}"
        try:
            outcome = await world.keeper.take(fetched.bundle)
            await world.keeper.caught_up()
        except StoreError as error:
            return f"failed to store federated bundle: {error}"
        self._tell(fetched, outcome)
        return ""

    def _note(self, error: str) -> None:
        now = self._world.clock.time()
        held = self._held()
        if error and held is None:
            wait = self._backoff.next_delay()
        else:
            self._backoff.reset()
            wait = refresh_interval(held)
        self._due = self._world.clock.monotonic() + wait
        state = replace(self.state, error=error, next_at=now + wait)
        if error:
            since = now if state.failing_since is None else state.failing_since
            self.state = replace(state, failing_since=since)
            self._warn()
        else:
            self.state = replace(state, failing_since=None, succeeded_at=now)
        self._changed()

    def _warn(self) -> None:
        state = self.state
        self._log(
            logging.WARNING,
            "cannot refresh a federated bundle",
            error=state.error,
            succeeded_at=state.succeeded_at,
            failing_since=state.failing_since,
            next_at=state.next_at,
        )

    def _tell(self, fetched: FetchedBundle, outcome: Outcome) -> None:
        level = _LEVELS[outcome.verdict]
        self._log(
            level,
            "federated bundle fetched",
            verdict=outcome.verdict.name.lower(),
            sequence=fetched.bundle.sequence,
            held_sequence=outcome.held.bundle.sequence,
        )
        if fetched.complaints:
            what = "; ".join(fetched.complaints)
            self._log(logging.WARNING, "passed over in a federated bundle", what=what)

    def _log(self, level: int, text: str, **fields: object) -> None:
        relationship = self._relationship
        log(
            logger,
            level,
            text,
            trust_domain=relationship.trust_domain.name,
            url=relationship.url.text,
            profile=relationship.profile.value,
            **fields,
        )

    def _held(self) -> Bundle | None:
        return self._world.bundles.bundle_for(self._relationship.trust_domain)

    def _endpoint_root(self) -> Bundle | None:
        endpoint_id = self._relationship.endpoint_id
        if endpoint_id is None:
            return None
        return self._world.bundles.bundle_for(endpoint_id.trust_domain)
