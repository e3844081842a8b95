"""The change feed: what changed, in the order of the commits, for those who keep copies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update

from finial.server.datastore import agents, bundles, entry_query, entry_write, relationships
from finial.server.datastore.driver import ORIGIN
from finial.server.datastore.errors import DatabaseDamaged, RowUnreadable
from finial.server.datastore.rows import UNREADABLE, agent_of, entry_of, leaving_out
from finial.server.datastore.schema import change_feed, properties

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from finial.server.datastore.database import Database
    from finial.server.datastore.transaction import Transaction
    from finial.server.registry.model import Agent, Entry
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.federation import Relationship

_FLOOR = "feed_floor"
"""Property: the last revision that retention has removed from the feed."""

_AT_ONCE = 5000

# With the row that was the last before: that it is the same shows that the feed is.
_TAIL = (
    select(change_feed.c.revision, change_feed.c.kind, change_feed.c.key, change_feed.c.at)
    .where(change_feed.c.revision >= bindparam("after"))
    .order_by(change_feed.c.revision)
    .limit(_AT_ONCE + 1)
)
_LATEST_ROW = (
    select(change_feed.c.revision, change_feed.c.kind, change_feed.c.key, change_feed.c.at)
    .order_by(change_feed.c.revision.desc())
    .limit(1)
)
_LATEST = select(func.max(change_feed.c.revision))
_READ_FLOOR = select(properties.c.value).where(properties.c.name == _FLOOR)


class FeedMark(NamedTuple):
    """The row of the feed that a reader has come to, and the origin of the history it is in."""

    origin: str
    revision: int
    kind: str = ""
    key: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """What is different at `revision`; None stands for a thing that is gone.

    With `full`, it holds everything that is stored and replaces what the reader has; but for what
    `left_out` names, which cannot be read.
    """

    revision: int
    full: bool = False
    entries: dict[str, Entry | None] = field(default_factory=dict)
    agents: dict[str, Agent | None] = field(default_factory=dict)
    bundles: dict[str, Bundle | None] = field(default_factory=dict)
    relationships: dict[str, Relationship | None] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    mark: FeedMark | None = field(default=None, compare=False)


class FeedStore:
    """The feed. Every method raises StoreError when the database refuses.

    `keep_rows` and `keep_seconds` bound it: a row that is beyond either is removed by `prune`.
    """

    def __init__(
        self, database: Database, *, keep_rows: int = 100_000, keep_seconds: int = 86_400
    ) -> None:
        self._database = database
        self._keep_rows = keep_rows
        self._keep_seconds = keep_seconds

    @property
    def committed(self) -> int:
        """The newest revision that is committed: what a write that has returned is part of."""
        return self._database.revision

    @property
    def history(self) -> int:
        """How often the feed was found to be another; revisions count within one."""
        return self._database.history

    async def wait_beyond(self, revision: int, history: int | None = None) -> None:
        """Return once something later is committed, or the feed is not that history any more."""
        await self._database.wait_beyond(revision, history)

    async def newest(self) -> FeedMark:
        """Ask the database for the last row, whichever server committed it; 0 before all."""
        return await self._database.read(_latest_mark)

    async def everything(self) -> Delta:
        """Return all that is stored, as of one moment."""
        try:
            return await self._database.read(_everything)
        except UNREADABLE as error:
            reason = f"a row is not as it was written: {error}"
            raise DatabaseDamaged(self._database.name, reason) from None
        except RowUnreadable as error:
            raise DatabaseDamaged(self._database.name, error.reason) from None

    async def everything_readable(self) -> Delta:
        """Return all that is stored, without the rows that cannot be read: these are named.

        For a server that runs: one bad row must not keep a ban of somebody else from it.
        """
        return await self._database.read(
            lambda connection: _everything_readable(connection, self._database)
        )

    async def tail(self, after: int, mark: FeedMark | None = None) -> Delta:
        """Return what changed after a revision, in part if it is very much.

        What changed several times is there once, as it is now, which may be later than the
        Delta's revision: applying a change twice does no harm. If retention has removed what came
        after the revision, or the feed is not the one that `mark` (of the last Delta) is from, the
        answer is `full`, and its revision may be lower.

        Raises:
            RowUnreadable: something that changed cannot be read.
        """
        try:
            return await self._database.read(lambda connection: _tail(connection, after, mark))
        except UNREADABLE as error:
            raise RowUnreadable(self._database.name, str(error)) from None

    async def prune(self, now: float) -> int:
        """Remove what is too old or too much, never the newest row; return how many."""

        def work(transaction: Transaction) -> int:
            latest = transaction.execute(_LATEST).scalar() or 0
            expired = (
                transaction.execute(
                    select(func.max(change_feed.c.revision)).where(
                        change_feed.c.at < int(now) - self._keep_seconds
                    )
                ).scalar()
                or 0
            )
            floor = min(max(latest - self._keep_rows, expired), latest - 1)
            if floor < 1:
                return 0
            removed = transaction.execute(
                delete(change_feed).where(change_feed.c.revision <= floor)
            ).rowcount
            if removed:
                _raise_floor(transaction, floor)
            return removed

        return await self._database.write(work)


def _raise_floor(transaction: Transaction, floor: int) -> None:
    raised = update(properties).where(properties.c.name == _FLOOR).values(value=str(floor))
    if not transaction.execute(raised).rowcount:
        transaction.execute(insert(properties).values(name=_FLOOR, value=str(floor)))


def _everything(connection: Connection) -> Delta:
    mark = _latest_mark(connection)
    return Delta(
        mark.revision,
        full=True,
        entries={entry.id: entry for entry in entry_query.find_all(connection)},
        agents={agent.id.uri: agent for agent in agents.find_all(connection)},
        bundles={bundle.trust_domain.name: bundle for bundle in bundles.find_bundles(connection)},
        relationships=_by_name(relationships.find_relationships(connection)),
        mark=mark,
    )


def _everything_readable(connection: Connection, database: Database) -> Delta:
    bad: list[str] = []
    read_entry = leaving_out(entry_write.KIND, entry_of, bad)
    read_agent = leaving_out(agents.KIND, agent_of, bad)
    read_bundle = leaving_out(bundles.KIND, bundles.bundle_of, bad)
    read_relationship = leaving_out(relationships.KIND, relationships.relationship_of, bad)
    with database.tolerant(connection):
        mark = _latest_mark(connection)
        found_entries = entry_query.find_all(connection, read_entry)
        found_agents = agents.find_all(connection, read_agent)
        found_bundles = bundles.find_bundles(connection, read_bundle)
        found_relationships = relationships.find_relationships(connection, read_relationship)
    return Delta(
        mark.revision,
        full=True,
        entries={each.id: each for each in found_entries},
        agents={each.id.uri: each for each in found_agents},
        bundles={each.trust_domain.name: each for each in found_bundles},
        relationships=_by_name(found_relationships),
        left_out=tuple(bad),
        mark=mark,
    )


def _latest_mark(connection: Connection) -> FeedMark:
    row = connection.execute(_LATEST_ROW).first()
    origin = _origin(connection)
    return FeedMark(origin, 0) if row is None else FeedMark(origin, *row)


def _origin(connection: Connection) -> str:
    return str(connection.info.get(ORIGIN, ""))


def _tail(connection: Connection, after: int, mark: FeedMark | None) -> Delta:
    rows = list(connection.execute(_TAIL, {"after": after}))
    last = rows.pop(0) if rows and rows[0].revision == after else None
    here = FeedMark(_origin(connection), *(last or (after,)))
    del rows[_AT_ONCE:]
    if last is None or not rows or rows[0].revision != after + 1:
        floor = int(connection.execute(_READ_FLOOR).scalar() or 0)
        if floor > after or (last is None and after > floor):
            return _everything(connection)
    if mark is not None and not _follows(mark, here, pruned=last is None):
        return _everything(connection)
    return _changes(connection, rows, here)


def _follows(mark: FeedMark, here: FeedMark, *, pruned: bool) -> bool:
    """Whether what was found where a reader had come to is what it has seen there."""
    return mark.origin == here.origin if pruned else mark == here


def _changes(connection: Connection, rows: Sequence[Any], here: FeedMark) -> Delta:
    changed: dict[str, dict[str, None]] = {}
    for _, kind, key, _ in rows:
        changed.setdefault(kind, {})[key] = None
    mark = FeedMark(here.origin, *rows[-1]) if rows else here
    delta = Delta(mark.revision, mark=mark)
    if keys := changed.get(entry_write.KIND):
        entries = entry_query.find_many(connection, list(keys))
        delta.entries.update((key, entries.get(key)) for key in keys)
    if keys := changed.get(agents.KIND):
        found = {agent.id.uri: agent for agent in agents.find_agents(connection, list(keys))}
        delta.agents.update((key, found.get(key)) for key in keys)
    if keys := changed.get(bundles.KIND):
        stored = {bundle.trust_domain.name: bundle for bundle in bundles.find_bundles(connection)}
        delta.bundles.update((key, stored.get(key)) for key in keys)
    if keys := changed.get(relationships.KIND):
        known = _by_name(relationships.find_named(connection, list(keys)))
        delta.relationships.update((key, known.get(key)) for key in keys)
    return delta


def _by_name(found: list[Relationship]) -> dict[str, Relationship | None]:
    return {each.trust_domain.name: each for each in found}
