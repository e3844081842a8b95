"""A connection to PostgreSQL that never waits for ever."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from sqlalchemy import NullPool, create_engine

from finial.server.datastore.postgres.bulk import fold_inserts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sqlalchemy import Engine

    from finial.server.datastore.postgres.target import PostgresTarget

T = TypeVar("T")

SILENCE_SECONDS = 20.0
"""Longest time without a sign of life from the server, in which a statement may be at work."""

_LOOK_SECONDS = 1.0

# Where the functions may not be called, as at some cloud providers, the feed's rows have to tell.
_ORIGIN = (
    "SELECT system_identifier::text FROM pg_control_system()",
    "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)",
)


class BoundedConnection(psycopg.Connection[Any]):
    """Gives up on a server that is connected and says nothing; `silence` (s) None: never."""

    silence: float | None = SILENCE_SECONDS

    def wait(
        self,
        gen: Generator[Any, Any, T],
        interval: float = _LOOK_SECONDS,
        timeout: float | None = None,
    ) -> T:
        """Run a step of the protocol to its end.

        Raises:
            psycopg.OperationalError: the server was silent for too long; the connection is closed.
        """
        if self.silence is None:
            return super().wait(gen, interval, timeout)
        return super().wait(self._bounded(gen, self.silence), interval, timeout)

    def _bounded(self, gen: Generator[Any, Any, T], silence: float) -> Generator[Any, Any, T]:
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > silence:
                    gen.close()
                    self.close()
                    raise psycopg.OperationalError(f"no answer for {silence:.0f} seconds")
                wanted = gen.send(ready)
        except StopIteration as end:
            value: T = end.value
            return value


def connect(target: PostgresTarget) -> BoundedConnection:
    """Connect to the first host that will do.

    Raises:
        psycopg.Error: none will; its text is not yet scrubbed.
    """
    return BoundedConnection.connect(target.conninfo.reveal(), autocommit=True)


def origin_of(raw: BoundedConnection) -> str:
    """Return what tells this database, and its life since the last promotion, from others."""
    found: list[str] = []
    for query in _ORIGIN:
        try:
            row = raw.execute(query.encode()).fetchone()
        except psycopg.DatabaseError:
            if raw.closed:
                raise
            row = None
        found.append(row[0] if row else "")
    return ":".join(found)


def engine_over(connect_raw: Callable[[], BoundedConnection]) -> Engine:
    """Make an engine that neither makes connections nor begins transactions on them itself."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect_raw,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        use_native_hstore=False,
    )
    fold_inserts(engine)
    return engine
