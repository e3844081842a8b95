"""The change feed: what changed, in the order of the commits, for those who keep copies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, func, insert, select, update

from finial.server.datastore import agents, bundles, entry_query, entry_write
from finial.server.datastore.errors import DatabaseDamaged, RowUnreadable
from finial.server.datastore.rows import UNREADABLE, agent_of, entry_of, leaving_out
from finial.server.datastore.schema import change_feed, properties
from finial.server.datastore.sqlite import unreadable_text_as_bytes

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from finial.server.datastore.database import Database
    from finial.server.datastore.transaction import Transaction
    from finial.server.registry.model import Agent, Entry
    from finial.spiffe.bundle import Bundle

_FLOOR = "feed_floor"
"""Property: the last revision that retention has removed from the feed."""

_AT_ONCE = 5000

_TAIL = (
    select(change_feed.c.revision, change_feed.c.kind, change_feed.c.key)
    .where(change_feed.c.revision > bindparam("after"))
    .order_by(change_feed.c.revision)
    .limit(_AT_ONCE)
)
_LATEST = select(func.max(change_feed.c.revision))
_READ_FLOOR = select(properties.c.value).where(properties.c.name == _FLOOR)


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
    left_out: tuple[str, ...] = ()


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

    async def wait_beyond(self, revision: int) -> None:
        """Return once something later than `revision` is committed."""
        await self._database.wait_beyond(revision)

    async def everything(self) -> Delta:
        """Return all that is stored, as of one moment."""
        try:
            return await self._database.read(_everything)
        except UNREADABLE as error:
            reason = f"a row is not as it was written: {error}"
            raise DatabaseDamaged(str(self._database.path), reason) from None
        except RowUnreadable as error:
            raise DatabaseDamaged(str(self._database.path), error.reason) from None

    async def everything_readable(self) -> Delta:
        """Return all that is stored, without the rows that cannot be read: these are named.

        For a server that runs: one bad row must not keep a ban of somebody else from it.
        """
        return await self._database.read(_everything_readable)

    async def tail(self, after: int) -> Delta:
        """Return what changed after a revision, in part if it is very much.

        What changed several times is there once, as it is now, which may be later than the
        Delta's revision: applying a change twice does no harm. If retention has removed what came
        after the revision, the answer is `full`.

        Raises:
            RowUnreadable: something that changed cannot be read.
        """
        try:
            return await self._database.read(lambda connection: _tail(connection, after))
        except UNREADABLE as error:
            raise RowUnreadable(str(self._database.path), str(error)) from None

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
    return Delta(
        connection.execute(_LATEST).scalar() or 0,
        full=True,
        entries={entry.id: entry for entry in entry_query.find_all(connection)},
        agents={agent.id.uri: agent for agent in agents.find_all(connection)},
        bundles={bundle.trust_domain.name: bundle for bundle in bundles.find_bundles(connection)},
    )


def _everything_readable(connection: Connection) -> Delta:
    bad: list[str] = []
    read_entry = leaving_out(entry_write.KIND, entry_of, bad)
    read_agent = leaving_out(agents.KIND, agent_of, bad)
    read_bundle = leaving_out(bundles.KIND, bundles.bundle_of, bad)
    with unreadable_text_as_bytes(connection):
        found_entries = entry_query.find_all(connection, read_entry)
        found_agents = agents.find_all(connection, read_agent)
        found_bundles = bundles.find_bundles(connection, read_bundle)
    return Delta(
        connection.execute(_LATEST).scalar() or 0,
        full=True,
        entries={each.id: each for each in found_entries},
        agents={each.id.uri: each for each in found_agents},
        bundles={each.trust_domain.name: each for each in found_bundles},
        left_out=tuple(bad),
    )


def _tail(connection: Connection, after: int) -> Delta:
    rows = connection.execute(_TAIL, {"after": after}).all()
    if not rows or rows[0].revision != after + 1:
        floor = connection.execute(_READ_FLOOR).scalar()
        if floor is not None and int(floor) > after:
            return _everything(connection)
    changed: dict[str, dict[str, None]] = {}
    for _, kind, key in rows:
        changed.setdefault(kind, {})[key] = None
    delta = Delta(rows[-1].revision if rows else after)
    if keys := changed.get(entry_write.KIND):
        entries = entry_query.find_many(connection, list(keys))
        delta.entries.update((key, entries.get(key)) for key in keys)
    if keys := changed.get(agents.KIND):
        found = {agent.id.uri: agent for agent in agents.find_agents(connection, list(keys))}
        delta.agents.update((key, found.get(key)) for key in keys)
    if keys := changed.get(bundles.KIND):
        stored = {bundle.trust_domain.name: bundle for bundle in bundles.find_bundles(connection)}
        delta.bundles.update((key, stored.get(key)) for key in keys)
    return delta
