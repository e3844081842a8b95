"""The database as the stores see it: `read` and `write` take a function and run it whole."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from finial.server.datastore.arrival import refuse_foreign
from finial.server.datastore.errors import DatabaseDamaged, StoreClosed, StoreUnusable
from finial.server.datastore.schema import change_feed
from finial.server.datastore.sqlite import SqliteSession, explain
from finial.server.datastore.upgrade import bring_up
from finial.server.datastore.worker import Worker, WriteWorker, _Job, let_threads_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from finial.runtime.clock import Clock
    from finial.server.datastore.transaction import Transaction

T = TypeVar("T")

_SCHEME = "sqlite://"
_READERS = 2
"""So that a long list does not hold up the reader of the change feed."""


class Database:
    """An open SQLite database with one writing and two reading threads.

    Functions given to `read` and `write` run on those threads in one transaction each. They must
    touch nothing but their connection and their arguments, and a write may be run a second time
    when another that shared its transaction failed.
    """

    def __init__(self, path: Path, clock: Clock, revision: int, writer: SqliteSession) -> None:
        self.path = path
        self.clock = clock
        self._revision = revision
        self._closed = False
        self._beyond: asyncio.Event = asyncio.Event()
        self._writes: SimpleQueue[_Job | None] = SimpleQueue()
        self._reads: SimpleQueue[_Job | None] = SimpleQueue()
        self._workers: list[Worker] = [
            WriteWorker(writer, self._writes, revision, clock.time, self._committed)
        ]
        for number in range(_READERS):
            session = SqliteSession(path, writer=False)
            session.prepare()
            self._workers.append(Worker(f"datastore-reader-{number}", session, self._reads))

    @classmethod
    async def open(cls, url_or_path: str | Path, clock: Clock) -> Self:
        """Open a database file, making or migrating its schema as needed.

        Takes a path, or `sqlite://` followed by one. Nothing is written to a file that is refused.

        Raises:
            StoreUnusable: its subclasses say why the file cannot be used and what to do.
        """
        path = _path_of(url_or_path)
        let_threads_in()
        loop = asyncio.get_running_loop()
        session, revision = await loop.run_in_executor(None, _open_writer, path)
        return cls(path, clock, revision, session)

    @property
    def revision(self) -> int:
        """The last revision of the change feed that was committed here."""
        return self._revision

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` against one consistent state of the database and return its result.

        Raises:
            StoreError: what the database refused; and whatever `work` raises.
        """
        return await self._ask(self._reads, work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; return its result when it is safe on the disk.

        What `work` raises undoes it. Once begun it ends, even if the caller is cancelled.

        Raises:
            StoreError: what the database refused; and whatever `work` raises.
        """
        return await self._ask(self._writes, work)

    async def wait_beyond(self, revision: int) -> None:
        """Return once something later than `revision` is committed."""
        while self._revision <= revision:
            await self._beyond.wait()

    async def close(self) -> None:
        """Finish the writes that were asked for, then let go of the file."""
        if self._closed:
            return
        self._closed = True
        self._writes.put(None)
        for _ in range(_READERS):
            self._reads.put(None)
        for worker in self._workers:
            await worker.join()

    async def _ask(self, queue: SimpleQueue[_Job | None], work: Callable[[Any], T]) -> T:
        if self._closed:
            raise StoreClosed(str(self.path))
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        queue.put(_Job(work, answer))
        return await answer

    def _committed(self, revision: int) -> None:
        if revision == self._revision:
            return
        self._revision = revision
        self._beyond.set()
        self._beyond = asyncio.Event()


def _path_of(url_or_path: str | Path) -> Path:
    if isinstance(url_or_path, Path):
        return url_or_path
    path = url_or_path.removeprefix(_SCHEME)
    if "://" in path:
        scheme = path.partition("://")[0]
        raise StoreUnusable(f"databases of kind {scheme} are not supported: name an SQLite file")
    return Path(path)


def _open_writer(path: Path) -> tuple[SqliteSession, int]:
    """Check, make or migrate the file; return the writer's session and the feed's last revision."""
    try:
        refuse_foreign(path)
        session = SqliteSession(path, writer=True)
    except (DBAPIError, sqlite3.Error) as error:
        raise explain(error, str(path)) from None
    try:
        return session, _prepare(session, str(path))
    except (DBAPIError, sqlite3.Error) as error:
        _give_up(session)
        raise explain(error, str(path)) from None
    except BaseException:
        _give_up(session)
        raise


def _give_up(session: SqliteSession) -> None:
    with suppress(DBAPIError, sqlite3.Error):
        session.rollback()
    session.close()


def _prepare(session: SqliteSession, path: str) -> int:
    if complaint := session.damage():
        raise DatabaseDamaged(path, complaint)
    session.prepare()
    session.begin()
    connection = session.connection
    bring_up(connection, path)
    revision = connection.execute(select(func.max(change_feed.c.revision))).scalar() or 0
    session.commit()
    return revision
