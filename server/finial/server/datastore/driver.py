"""What a database has to offer so that `Database` can stand on it.

A driver opens sessions; a session is one connection that one thread works with. What differs
between databases (how a transaction begins, who else may write, what an error means) is behind
these protocols; statements are the same for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from finial.server.datastore.errors import StoreError
    from finial.server.datastore.horizon import Horizon, Sighting

ORIGIN = "origin"
"""Key in a connection's `info`: the origin of the history that it reads and writes."""


class Session(Protocol):
    """One connection, used by one thread at a time.

    `errors` are the exceptions that `explain` understands.
    """

    errors: tuple[type[Exception], ...]

    @property
    def connection(self) -> Connection:
        """What the functions given to `Database.read` and `write` work with."""
        ...

    def begin(self) -> None:
        """Begin a transaction that changes nothing which is announced; reconnect if need be."""
        ...

    def rollback(self) -> None:
        """End a transaction, if there is one, without a trace."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...

    def explain(self, error: Exception) -> StoreError:
        """Turn a driver's error into one that names the database and the way out."""
        ...


class WriteSession(Session, Protocol):
    """A session that commits."""

    def begin_announcing(self, known: int) -> int:
        """Begin a transaction that may announce changes, once nobody else is in one.

        Returns the last revision committed; `known` is the last one that this session has seen.
        """
        ...

    def commit(self, announced: int | None) -> None:
        """Commit, and tell other servers of a last revision that was announced.

        Raises:
            OutcomeUnknown: the connection broke in the middle.
            Exception: one of `errors`; nothing is kept.
        """
        ...


class Watcher(Protocol):
    """Looks out for what other servers commit, on a thread of its own."""

    def close(self) -> None:
        """End the thread, and wait for that; blocks."""
        ...


class Opened(NamedTuple):
    """A database that was found fit, or made so."""

    writer: WriteSession
    origin: str
    revision: int


class Driver(Protocol):
    """A kind of database. `name` is what errors call the one that is meant: it has no secret."""

    name: str
    readers: int

    def open(self) -> Opened:
        """Check the database, make or migrate its schema; blocks.

        Raises:
            StoreError: it cannot be used; nothing was written.
        """
        ...

    def reader(self) -> Session:
        """Open a session for reading; blocks."""
        ...

    def recorder(self) -> WriteSession | None:
        """Open a session for what is not announced, beside the writer's; None if it has only one.

        Blocks.
        """
        ...

    def watch(self, horizon: Horizon, seen: Callable[[Sighting], None]) -> Watcher | None:
        """Begin to look out for other servers' commits; None where there are no others.

        `seen` is called on the watcher's thread.
        """
        ...

    def tolerant(self, connection: Connection) -> AbstractContextManager[None]:
        """Return a context in which text that is not UTF-8 is read as bytes, not refused."""
        ...
