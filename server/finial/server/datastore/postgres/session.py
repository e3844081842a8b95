"""Sessions on PostgreSQL: transactions, the writers' lock, and connections that come back.

A session whose connection is gone makes another as soon as it is asked for a transaction. Between
two failed attempts whoever asks is refused at once, so that nobody queues behind a dead server.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from finial.runtime.logging import log
from finial.server.datastore.driver import ORIGIN
from finial.server.datastore.errors import OutcomeUnknown, StoreError, StoreUnreachable
from finial.server.datastore.postgres.backoff import Backoff
from finial.server.datastore.postgres.connection import connect, engine_over, origin_of
from finial.server.datastore.postgres.failures import ERRORS, READ_ONLY, explain, reason_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from finial.server.datastore.postgres.connection import BoundedConnection
    from finial.server.datastore.postgres.target import PostgresTarget

WRITERS_LOCK = 0x46696E69616C
"""Key of the advisory lock that puts the writers of all servers on a database in a row."""

CHANNEL = "finial_feed"
"""Where the last revision of each commit is announced."""

_IN_A_ROW = f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})"
# A statement each: only a new one sees what was committed while the lock was waited for.
# Which is so only while the database's or the role's defaults are not heeded.
_RECORD = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_ALONE = f"{_RECORD}; {_IN_A_ROW}"
_WRITE = f"{_ALONE}; SELECT coalesce(max(revision), 0) FROM change_feed"  # noqa: S608
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SETTINGS = """
    SET statement_timeout = '{statement}s';
    SET lock_timeout = '15s';
    SET idle_in_transaction_session_timeout = '10s';
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') = 'off'
"""
# The second is what a replica says to BEGIN READ WRITE.
_REPLICA = {READ_ONLY, "0A000"}
# A writer is not waited for longer than a stuck one takes to be thrown out.
_WRITE_SECONDS = 18
_READ_SECONDS = 60

logger = logging.getLogger(__name__)


class PostgresSession:
    """One connection after another, used by one thread at a time."""

    errors: tuple[type[Exception], ...] = ERRORS

    def __init__(self, target: PostgresTarget, *, begin: str, statement_seconds: int) -> None:
        self._target = target
        self._begin = begin
        self._settings = _SETTINGS.format(statement=statement_seconds)
        self._backoff = Backoff()
        self._engine = engine_over(lambda: self._raw)
        self._connected = False
        self._connect()

    @classmethod
    def reader(cls, target: PostgresTarget) -> PostgresSession:
        """Connect for transactions that each see one state."""
        return cls(target, begin=_READ, statement_seconds=_READ_SECONDS)

    @classmethod
    def recorder(cls, target: PostgresTarget) -> PostgresSession:
        """Connect for writing what is not announced."""
        return cls(target, begin=_RECORD, statement_seconds=_WRITE_SECONDS)

    writer = recorder

    @property
    def connection(self) -> Connection:
        return self._connection

    @property
    def raw(self) -> BoundedConnection:
        """The driver's own connection."""
        return self._raw

    @property
    def origin(self) -> str:
        """What tells the database that the session is connected to from others."""
        return str(self._connection.info[ORIGIN])

    def begin(self) -> None:
        self._run_first(self._begin)

    def begin_announcing(self, known: int) -> int:  # noqa: ARG002  (others write as well)
        cursor = self._run_first(_WRITE)
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        return int(row[0]) if row else 0

    def begin_alone(self) -> None:
        """Begin a transaction that has to itself a database which may have no tables yet."""
        self._run_first(_ALONE)

    def commit(self, announced: int | None = None) -> None:
        telling = f"SELECT pg_notify('{CHANNEL}', '{announced}'); " if announced else ""
        try:
            self._execute(f"{telling}COMMIT")
        except psycopg.Error as error:
            if self._lost:
                # Whether it got there before the connection broke cannot be known.
                raise OutcomeUnknown(self._target.name, reason_of(error, self._target)) from None
            raise

    def rollback(self) -> None:
        if self._lost or self._raw.info.transaction_status is TransactionStatus.IDLE:
            return
        with suppress(psycopg.Error):
            self._execute("ROLLBACK")

    def close(self) -> None:
        self._drop()
        self._engine.dispose()

    def explain(self, error: Exception) -> StoreError:
        """Turn a driver's error into one that names the database and the way out."""
        if getattr(getattr(error, "orig", None) or error, "sqlstate", None) in _REPLICA:
            self._drop()  # it has become a replica: the next transaction looks for the primary
        return explain(error, self._target, lost=self._lost)

    @property
    def _lost(self) -> bool:
        return self._raw.closed

    def _run_first(self, statements: str) -> psycopg.Cursor[Any]:
        """Begin, on a new connection if the one that there was has gone since the last time."""
        if not self._lost:
            try:
                self.rollback()
                return self._execute(statements)
            except psycopg.Error:
                if not self._lost:
                    raise
        self._reconnect()
        return self._execute(statements)

    def _execute(self, statements: str) -> psycopg.Cursor[Any]:
        # Not prepared, and without parameters: so that there may be several in one go.
        return self._raw.execute(statements.encode(), prepare=False)

    def _reconnect(self) -> None:
        if self._backoff.left:
            raise StoreUnreachable(self._target.name, self._backoff.reason)
        self._drop()
        self._connect()

    def _connect(self) -> None:
        """Connect.

        Raises:
            StoreError: it cannot be done now.
        """
        try:
            self._raw = connect(self._target)
            self._execute(self._settings)
            self._connection = self._engine.connect()
            self._connection.info[ORIGIN] = origin_of(self._raw)
        except ERRORS as error:
            with suppress(AttributeError, *ERRORS):
                self._raw.close()  # half made, if at all
            self._backoff.failed(reason_of(error, self._target))
            refused = explain(error, self._target, lost=True)
            if self._connected:
                log(logger, logging.WARNING, "cannot connect to the database", error=str(refused))
            raise refused from None
        self._backoff.succeeded()
        self._connected = True

    def _drop(self) -> None:
        with suppress(*ERRORS):
            self._raw.close()
        with suppress(*ERRORS):
            self._connection.invalidate()
        with suppress(*ERRORS):
            self._connection.close()
