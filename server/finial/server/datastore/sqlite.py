"""SQLite: how a connection is opened, how a transaction begins and ends, what its errors mean.

Transactions are begun and ended on the driver's own connection, not through SQLAlchemy's
(`AUTOCOMMIT` keeps its hands off): that is ten times cheaper, and BEGIN IMMEDIATE is the only way
to take the write lock before the first read.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from finial.server.datastore.errors import (
    DatabaseDamaged,
    NotWritable,
    RowUnreadable,
    StoreBusy,
    StoreError,
    StoreFull,
)
from finial.server.datastore.schema import issued_svids

if TYPE_CHECKING:
    from collections.abc import Iterator
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


class SqliteSession:
    """One connection, used by one thread at a time."""

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

    def commit(self) -> None:
        self._raw.execute("COMMIT")

    def rollback(self) -> None:
        # A full disk makes SQLite roll back on its own.
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def close(self) -> None:
        self.connection.close()
        self._engine.dispose()

    def explain(self, error: DBAPIError | sqlite3.Error) -> StoreError:
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


def explain(error: DBAPIError | sqlite3.Error, path: str) -> StoreError:
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
