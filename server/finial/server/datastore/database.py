"""The database as the stores see it: `read` and `write` take a function and run it whole."""

from __future__ import annotations

import asyncio
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TypeVar

from finial.server.datastore.errors import StoreClosed, StoreUnusable
from finial.server.datastore.horizon import Horizon
from finial.server.datastore.sqlite import SqliteDriver
from finial.server.datastore.worker import (
    RecordWorker,
    Worker,
    WriteWorker,
    _Job,
    let_threads_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from finial.runtime.clock import Clock
    from finial.server.datastore.driver import Driver, Opened, Session, Watcher, WriteSession
    from finial.server.datastore.horizon import Sighting
    from finial.server.datastore.postgres.target import PostgresTarget
    from finial.server.datastore.transaction import Recording, Transaction

T = TypeVar("T")

_SCHEME = "sqlite://"
_POSTGRES = ("postgres", "postgresql")


class Database:
    """An open database with writing and reading threads.

    Functions given to `read`, `write` and `record` run on those threads in one transaction each.
    They must touch nothing but their connection and their arguments, and a write may be run a
    second time when another that shared its transaction failed.
    """

    def __init__(
        self,
        driver: Driver,
        clock: Clock,
        opened: Opened,
        readers: list[Session],
        recorder: WriteSession | None,
    ) -> None:
        self.clock = clock
        self._driver = driver
        self._closed = False
        self._horizon = Horizon(opened.origin, opened.revision)
        self._writes: SimpleQueue[_Job | None] = SimpleQueue()
        self._records = self._writes
        self._reads: SimpleQueue[_Job | None] = SimpleQueue()
        self._workers: list[tuple[Worker, SimpleQueue[_Job | None]]] = []
        writer = WriteWorker(opened.writer, self._writes, self._horizon, clock.time)
        self._start(writer, self._writes)
        if recorder is not None:
            self._records = SimpleQueue()
            name = "datastore-recorder"
            self._start(RecordWorker(name, recorder, self._records, clock.time), self._records)
        for number, session in enumerate(readers):
            self._start(Worker(f"datastore-reader-{number}", session, self._reads), self._reads)
        self._loop = asyncio.get_running_loop()
        self._watcher: Watcher | None = driver.watch(self._horizon, self._seen)

    def _start(self, worker: Worker, queue: SimpleQueue[_Job | None]) -> None:
        self._workers.append((worker, queue))

    @classmethod
    async def open(cls, where: str | Path | PostgresTarget, clock: Clock) -> Self:
        """Open a database, making or migrating its schema as needed.

        Takes the path of an SQLite file, `sqlite://` followed by one, a PostgreSQL URL
        (`postgres://` or `postgresql://`), or a target with what else there is to say of
        PostgreSQL. Nothing is written to a database that is refused.

        Raises:
            StoreUnusable: its subclasses say why the database cannot be used and what to do.
            StoreUnreachable: there is no connection to its server.
        """
        driver = _driver_of(where)
        let_threads_in()
        opened, readers, recorder = await asyncio.get_running_loop().run_in_executor(
            None, _open, driver
        )
        return cls(driver, clock, opened, readers, recorder)

    @property
    def name(self) -> str:
        """What errors call it: the file, or the server and the database; without any secret."""
        return self._driver.name

    @property
    def shared(self) -> bool:
        """Whether other servers may write to it."""
        return self._watcher is not None

    @property
    def revision(self) -> int:
        """The last revision of the change feed that is known to be committed."""
        return self._horizon.revision

    @property
    def history(self) -> int:
        """How often the feed was found to be another than the one that was followed before.

        It changes when a replica was promoted that lacks the last commits, for instance.
        """
        return self._horizon.history

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` against one consistent state of the database and return its result.

        Raises:
            StoreError: what the database refused; and whatever `work` raises.
        """
        return await self._ask(self._reads, work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; return its result when it is safe on the disk.

        No other write, of any server on this database, runs meanwhile. What `work` raises undoes
        it. Once its transaction is begun that ends, even if the caller is cancelled; a caller that
        is cancelled before leaves nothing to do.

        Raises:
            OutcomeUnknown: the connection broke during the commit.
            StoreError: what the database refused; and whatever `work` raises.
        """
        return await self._ask(self._writes, work)

    async def record(self, work: Callable[[Recording], T]) -> T:
        """Run `work` as `write` does, but beside other writes: it adds rows and decides nothing.

        Raises:
            StoreError: as `write`.
        """
        return await self._ask(self._records, work)

    async def wait_beyond(self, revision: int, history: int | None = None) -> None:
        """Return once something later than `revision` is committed, here or by another server.

        Given a history, return as well when the feed is found to be another.
        """
        await self._horizon.wait_beyond(revision, history)

    def tolerant(self, connection: Connection) -> AbstractContextManager[None]:
        """Return a context in which text that is not UTF-8 is read as bytes, not refused."""
        return self._driver.tolerant(connection)

    async def close(self) -> None:
        """Finish the writes that were asked for, then let go of the database."""
        if self._closed:
            return
        self._closed = True
        if self._watcher is not None:
            await self._loop.run_in_executor(None, self._watcher.close)
        # Readers first: the last connection to an SQLite file writes the log back into it, which
        # one that only reads cannot.
        readers = [each for each in self._workers if each[1] is self._reads]
        writers = [each for each in self._workers if each[1] is not self._reads]
        for workers in (readers, writers):
            for _, queue in workers:
                queue.put(None)
            for worker, _ in workers:
                await worker.join()

    async def _ask(self, queue: SimpleQueue[_Job | None], work: Callable[[Any], T]) -> T:
        if self._closed:
            raise StoreClosed(self.name)
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        queue.put(_Job(work, answer))
        return await answer

    def _seen(self, sighting: Sighting) -> None:
        """Take in what the watcher has found, on its thread."""
        self._loop.call_soon_threadsafe(self._horizon.see, sighting)


def _driver_of(where: str | Path | PostgresTarget) -> Driver:
    if isinstance(where, Path):
        return SqliteDriver(where)
    if isinstance(where, str):
        scheme, separator, _ = where.partition("://")
        if not separator:
            return SqliteDriver(Path(where))
        if where.startswith(_SCHEME):
            return SqliteDriver(Path(where.removeprefix(_SCHEME)))
        if scheme not in _POSTGRES:
            raise StoreUnusable(
                f"databases of kind {scheme} are not supported: name an SQLite file, or "
                "PostgreSQL by postgres://"
            )
    # Its driver takes longer to load than an SQLite database to open.
    from finial.server.datastore.postgres import PostgresDriver, PostgresTarget  # noqa: PLC0415

    return PostgresDriver(PostgresTarget.of(where) if isinstance(where, str) else where)


def _open(driver: Driver) -> tuple[Opened, list[Session], WriteSession | None]:
    opened = driver.open()
    held: list[Session] = [opened.writer]
    try:
        recorder = driver.recorder()
        if recorder is not None:
            held.append(recorder)
        readers: list[Session] = []
        for _ in range(driver.readers):
            readers.append(driver.reader())
            held.append(readers[-1])
    except BaseException:
        for session in held:
            session.close()
        raise
    return opened, readers, recorder
