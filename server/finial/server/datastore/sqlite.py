"""SQLite: how a connection is opened, how a transaction begins and ends, what its errors mean.

Transactions are begun and ended on the driver's own connection, not through SQLAlchemy's
(`AUTOCOMMIT` keeps its hands off): that is ten times cheaper, and BEGIN IMMEDIATE is the only way
to take the write lock before the first read.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy import NullPool, create_engine, func, select
from sqlalchemy.exc import DBAPIError

from finial.server.datastore.arrival import refuse_foreign
from finial.server.datastore.driver import Opened
from finial.server.datastore.errors import (
    DatabaseDamaged,
    NotWritable,
    RowUnreadable,
    StoreBusy,
    StoreError,
    StoreFull,
)
from finial.server.datastore.schema import change_feed, issued_svids
from finial.server.datastore.upgrade import bring_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection, Engine

_BUSY_SECONDS = 5.0
_STATEMENTS = 256
"""Prepared statements kept by the driver: all of ours, in the few lengths that lists come in."""

_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # FULL: a commit is on the disk before anyone is told of it.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -8192",
)
_READER_PRAGMAS = ("PRAGMA query_only = ON", "PRAGMA cache_size = -4096")

_NOT_UTF_8 = "Could not decode to UTF-8"
"""What the driver says, without a code of SQLite's, which does not look into texts."""

_UNBOUNDED = frozenset({issued_svids.name})
"""Too long to be read through at each start."""


_READERS = 2
"""So that a long list does not hold up the reader of the change feed."""

_ERRORS = (DBAPIError, sqlite3.Error)


class SqliteDriver:
    """A database file, which one server has for itself."""

    readers = _READERS

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path

    def open(self) -> Opened:
        """Check, make or migrate the file.

        Raises:
            StoreError: it cannot be used; nothing was written.
        """
        try:
            refuse_foreign(self._path)
            session = SqliteSession(self._path, writer=True)
        except _ERRORS as error:
            raise explain(error, self.name) from None
        try:
            return Opened(session, "", _prepare(session, self.name))
        except _ERRORS as error:
            _give_up(session)
            raise explain(error, self.name) from None
        except BaseException:
            _give_up(session)
            raise

    def reader(self) -> SqliteSession:
        """Open a session for reading."""
        session = SqliteSession(self._path, writer=False)
        session.prepare()
        return session

    def recorder(self) -> None:
        """SQLite has one writer at a time."""

    def watch(self, horizon: object, seen: Callable[..., None]) -> None:
        """No other server has the file."""

    def tolerant(self, connection: Connection) -> AbstractContextManager[None]:
        """Return a context in which text that is not UTF-8 is read as bytes, not refused."""
        return unreadable_text_as_bytes(connection)


def _give_up(session: SqliteSession) -> None:
    with suppress(*_ERRORS):
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


class SqliteSession:
    """One connection, used by one thread at a time."""

    errors: tuple[type[Exception], ...] = _ERRORS

    def __init__(self, path: Path, *, writer: bool) -> None:
        self._path = path
        self._writer = writer
        self._engine = _engine(path)
        self.connection: Connection = self._engine.connect()
        raw = self.connection.connection.dbapi_connection
        if not isinstance(raw, sqlite3.Connection):
            raise TypeError("the SQLite engine is made with the standard library's driver")
        self._raw: sqlite3.Connection = raw

    def prepare(self) -> None:
        """Set what holds for the connection; the writer's also turn on the write-ahead log."""
        for pragma in _WRITER_PRAGMAS if self._writer else _READER_PRAGMAS:
            self._raw.execute(pragma).close()

    def damage(self) -> str:
        """Return what SQLite finds wrong with the file's structure; nothing when it is sound.

        Reads every page of what is kept in memory or written to often (50,000 entries: 40 ms), so
        that a server does not run for days on a file that it will fail on.
        """
        tables = self._raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table in _UNBOUNDED:
                continue
            (found,) = self._raw.execute(f'PRAGMA quick_check("{table}")').fetchone()
            if found != "ok":
                return str(found).splitlines()[-1].lower()
        return ""

    def begin(self) -> None:
        # Left over when even the roll-back failed, on a disk that did.
        self.rollback()
        self._raw.execute("BEGIN IMMEDIATE" if self._writer else "BEGIN")

    def begin_announcing(self, known: int) -> int:
        self.begin()
        return known  # nobody else writes

    def commit(self, announced: int | None = None) -> None:  # noqa: ARG002  (there is no other)
        self._raw.execute("COMMIT")

    def rollback(self) -> None:
        # A full disk makes SQLite roll back on its own.
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def close(self) -> None:
        self.connection.close()
        self._engine.dispose()

    def explain(self, error: Exception) -> StoreError:
        """Turn a driver's error into one that names the file and the way out."""
        return explain(error, str(self._path))


def _engine(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            path,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENTS,
        )

    engine = create_engine(
        "sqlite://", creator=connect, poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    # Many rows in one statement: each statement lets the interpreter lock go, and on a busy server
    # waits for it again.
    engine.dialect.use_insertmanyvalues_wo_returning = True
    return engine


def explain(error: Exception, path: str) -> StoreError:
    """Turn a driver's error into one that names the file and the way out."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(path)
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return DatabaseDamaged(path, str(cause))
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return NotWritable(path, str(cause))
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreBusy(path)
    if str(cause).startswith(_NOT_UTF_8):
        column = str(cause).removeprefix(_NOT_UTF_8).partition(" with text ")[0].strip()
        return RowUnreadable(path, f"the text in {column} is not UTF-8")
    return StoreError(f"database {path}: {cause}")


@contextmanager
def unreadable_text_as_bytes(connection: Connection) -> Iterator[None]:
    """Get text that is not UTF-8 as bytes, instead of an error that hides all other rows."""
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.text_factory = _text_or_bytes
    try:
        yield
    finally:
        raw.text_factory = str


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
