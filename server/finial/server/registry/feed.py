"""Keeping the copies in memory current: the reader of the change feed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from finial.runtime.logging import log
from finial.server.datastore.errors import RowUnreadable, StoreError
from finial.server.registry.agents import AgentIndex
from finial.server.registry.index import EntryIndex
from finial.server.registry.relationships import RelationshipCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.runtime.clock import Clock
    from finial.server.datastore.feed import Delta, FeedMark, FeedStore
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.trust_domain import TrustDomain

_RETRY_SECONDS = 1.0

AGREEMENT_SECONDS = 10.0
"""How long memory may take to agree with the database, after the database has told its state."""

logger = logging.getLogger(__name__)


class NotAgreed(StoreError):  # noqa: N818  (named for what happened, as all store errors)
    """What is in memory did not come to agree with the database in time."""

    def __init__(self) -> None:
        super().__init__(
            f"what is known here is not what the database has, after {AGREEMENT_SECONDS:.0f} s: "
            "try again, and look whether the change feed can be read if that goes on"
        )


class _Inquiry:
    """Asks for all who come before the question is put: one is under way, one more at the most.

    The first who waits for a question puts it; if that one is cancelled, the next does.
    """

    def __init__(self, feed: FeedStore) -> None:
        self._feed = feed
        self._under_way = asyncio.Lock()  # fair: who waits for the earlier question comes first
        self._next: asyncio.Future[FeedMark] | None = None

    async def newest(self) -> FeedMark:
        """Return what the database told when it was asked later than this call.

        Raises:
            StoreError: the database does not tell.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        answer = self._next
        async with self._under_way:
            if not answer.done():
                await self._ask(answer)
        return answer.result()

    async def _ask(self, answer: asyncio.Future[FeedMark]) -> None:
        if self._next is answer:
            self._next = None  # whoever comes from now on is not answered by it
        try:
            answer.set_result(await self._feed.newest())
        except StoreError as error:
            answer.set_exception(error)


class BundleCache:
    """Bundles by trust domain: a BundleSource."""

    def __init__(self) -> None:
        self._bundles: dict[str, Bundle] = {}

    def __len__(self) -> int:
        return len(self._bundles)

    def bundle_for(self, trust_domain: TrustDomain) -> Bundle | None:
        """Return the bundle of a trust domain."""
        return self._bundles.get(trust_domain.name)

    def all(self) -> tuple[Bundle, ...]:
        """Return every bundle."""
        return tuple(self._bundles.values())

    def put(self, bundle: Bundle) -> None:
        """Take in a new bundle, or a new form of one."""
        self._bundles[bundle.trust_domain.name] = bundle

    def remove(self, name: str) -> None:
        """Take out the bundle of a trust domain; one that is not there is no error."""
        self._bundles.pop(name, None)

    def replace_all(self, bundles: dict[str, Bundle]) -> None:
        """Take these bundles in place of all there are."""
        self._bundles = bundles


class FeedReader:
    """Reads the feed into `entries`, `agents`, `bundles`, `relationships`: nobody else does.

    `load` once, before anything is served; then `run` for as long as the server lives.
    """

    def __init__(self, feed: FeedStore, clock: Clock) -> None:
        self.entries = EntryIndex()
        self.agents = AgentIndex()
        self.bundles = BundleCache()
        self.relationships = RelationshipCache()
        self._feed = feed
        self._clock = clock
        self._revision = -1
        self._mark: FeedMark | None = None
        self._history = feed.history
        self._inquiry = _Inquiry(feed)
        self._restarts = 0
        self._advanced = asyncio.Event()
        self._listeners: list[Callable[[frozenset[str] | None], None]] = []
        self._on_restart: list[Callable[[], None]] = []

    def subscribe_restarts(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the database has gone back behind what was known of it here.

        What was committed last may be lost then, as with a primary whose replica lacked it.
        """
        self._on_restart.append(listener)

    def subscribe(self, listener: Callable[[frozenset[str] | None], None]) -> None:
        """Call `listener` after every change, before anybody who waits for it goes on.

        It is told the SPIFFE IDs whose bearers can have fewer rights than before: agents whose
        record is another or gone, and those that an entry made an administrator or a downstream
        server as it was before. None stands for everybody: a bundle has changed, or everything was
        read anew.
        """
        self._listeners.append(listener)

    @property
    def revision(self) -> int:
        """The revision that the indexes show; -1 before they were loaded."""
        return self._revision

    async def load(self) -> None:
        """Fill the indexes.

        Raises:
            StoreError: what the database refused.
        """
        self._history = self._feed.history
        self._apply(await self._feed.everything())

    async def run(self) -> None:
        """Follow the feed until cancelled. Costs nothing while nothing changes.

        What changed and cannot be read counts as gone: an entry that is issued for no more, an
        agent that is unknown. Everything else goes on.
        """
        while True:
            await self._feed.wait_beyond(self._revision, self._history)
            history = self._feed.history
            try:
                await self._follow()
                self._history = history
            except StoreError as error:
                log(logger, logging.ERROR, "cannot read the change feed", error=str(error))
                await self._clock.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        try:
            delta = await self._feed.tail(self._revision, self._mark)
        except RowUnreadable as error:
            text = "what has changed cannot be read; everything is read anew"
            log(logger, logging.ERROR, text, error=str(error))
            delta = await self._feed.everything_readable()
            for each in delta.left_out:
                log(logger, logging.ERROR, "left out until it is written anew", what=each)
        self._apply(delta)

    async def caught_up(self, revision: int | None = None) -> None:
        """Return when the indexes show a revision; None means all that was committed until now.

        A caller whose write has returned and who waits for this reads its own write.
        """
        if revision is None:
            await self._shows_committed(self._feed.history, self._feed.committed)
            return
        restarts = self._restarts
        while self._revision < revision and self._restarts == restarts:
            await self._advanced.wait()

    async def _shows_committed(self, history: int, revision: int) -> None:
        """Return when the indexes show a revision of a history, or a later history."""
        while (self._history, self._revision) < (history, revision):
            await self._advanced.wait()

    async def agreed(self) -> None:
        """Return when the indexes show all that any server had committed at the call.

        `caught_up` is cheaper and does for what was written through this server.

        Raises:
            NotAgreed: the indexes are still behind after 10 s, or of another history.
            StoreError: the database does not tell.
        """
        known, restarts = self._revision, self._restarts
        mark = await self._inquiry.newest()
        # Less than was known before it was asked: the feed went back, and all is read anew.
        beyond = restarts if mark.revision < known else -1
        if self._agrees(mark, beyond):
            return
        waiting = asyncio.ensure_future(self._agreeing(mark, beyond))
        alarm = asyncio.ensure_future(self._clock.sleep(AGREEMENT_SECONDS))
        try:
            await asyncio.wait({waiting, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise NotAgreed
        finally:
            waiting.cancel()
            alarm.cancel()
            await asyncio.gather(waiting, alarm, return_exceptions=True)

    async def _agreeing(self, mark: FeedMark, beyond: int) -> None:
        while not self._agrees(mark, beyond):
            await self._advanced.wait()

    def _agrees(self, mark: FeedMark, beyond: int) -> bool:
        """Whether the indexes show `mark`, in its history, after more restarts than `beyond`."""
        origin = self._mark.origin if self._mark is not None else None
        same = origin == mark.origin and self._restarts > beyond
        return same and self._revision >= mark.revision

    async def next_change(self, after: int) -> int:
        """Return the revision as soon as the indexes show one later than `after`."""
        restarts = self._restarts
        while self._revision <= after and self._restarts == restarts:
            await self._advanced.wait()
        return self._revision

    def _apply(self, delta: Delta) -> None:
        concerned = self._concerned(delta)  # before the entries as they were are gone
        if delta.full:
            self._replace(delta)
        else:
            self._amend(delta)
        self._go_on_from(delta)
        for listener in self._listeners:
            listener(concerned)
        advanced, self._advanced = self._advanced, asyncio.Event()
        advanced.set()

    def _go_on_from(self, delta: Delta) -> None:
        """Take over the Delta's place in the feed; nobody waits for what a lost feed had."""
        known, mark = self._mark, delta.mark
        if known is not None and mark is not None and self._is_another(delta, known, mark):
            text = "the change feed is another than before; everything was read anew"
            log(logger, logging.WARNING, text, before=self._revision, now=delta.revision)
            self._restarts += 1
            for listener in self._on_restart:
                listener()
        self._revision, self._mark = delta.revision, mark

    def _is_another(self, delta: Delta, known: FeedMark, mark: FeedMark) -> bool:
        return delta.full and (delta.revision < self._revision or mark.origin != known.origin)

    def _concerned(self, delta: Delta) -> frozenset[str] | None:
        if delta.full or delta.bundles:
            return None
        before = (self.entries.get(entry_id) for entry_id in delta.entries)
        privileged = {e.spiffe_id.uri for e in before if e and (e.admin or e.downstream)}
        return frozenset(privileged | delta.agents.keys())

    def _replace(self, delta: Delta) -> None:
        self.entries.replace_all(e for e in delta.entries.values() if e is not None)
        known = {agent.id for agent in self.agents}
        self.agents.replace_all(a for a in delta.agents.values() if a is not None)
        for agent_id in known:
            if self.agents.get(agent_id) is None:
                self.entries.forget_agent(agent_id)
        self.bundles.replace_all({k: b for k, b in delta.bundles.items() if b is not None})
        relationships = {k: r for k, r in delta.relationships.items() if r is not None}
        self.relationships.replace_all(relationships)

    def _amend(self, delta: Delta) -> None:
        for entry_id, entry in delta.entries.items():
            if entry is None:
                self.entries.remove(entry_id)
            else:
                self.entries.put(entry)
        for agent_id, agent in delta.agents.items():
            if agent is not None:
                self.agents.put(agent)
                continue
            gone = self.agents.pop(agent_id)
            if gone is not None:
                self.entries.forget_agent(gone.id)
        for name, bundle in delta.bundles.items():
            if bundle is None:
                self.bundles.remove(name)
            else:
                self.bundles.put(bundle)
        for name, relationship in delta.relationships.items():
            if relationship is None:
                self.relationships.remove(name)
            else:
                self.relationships.put(relationship)
