"""PostgreSQL as `Database` stands on it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from finial.server.datastore.driver import Opened
from finial.server.datastore.postgres.opening import make_fit
from finial.server.datastore.postgres.session import PostgresSession
from finial.server.datastore.postgres.watcher import FeedWatcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from finial.server.datastore.horizon import Horizon, Sighting
    from finial.server.datastore.postgres.target import PostgresTarget


class PostgresDriver:
    """A database that several servers share."""

    def __init__(self, target: PostgresTarget) -> None:
        self.name = target.name
        self.readers = target.readers
        self._target = target

    def open(self) -> Opened:
        """Check the database, make or migrate its schema.

        Raises:
            StoreError: it cannot be used; nothing was written.
        """
        session = PostgresSession.writer(self._target)
        try:
            return Opened(session, session.origin, make_fit(session, self.name))
        except session.errors as error:
            refused = session.explain(error)
            session.close()
            raise refused from None
        except BaseException:
            session.close()
            raise

    def reader(self) -> PostgresSession:
        """Open a session for reading."""
        return PostgresSession.reader(self._target)

    def recorder(self) -> PostgresSession:
        """Open a session for what is not announced, and waits for no other server."""
        return PostgresSession.recorder(self._target)

    def watch(self, horizon: Horizon, seen: Callable[[Sighting], None]) -> FeedWatcher:
        """Begin to look out for other servers' commits."""
        return FeedWatcher(self._target, horizon, seen)

    def tolerant(self, connection: Connection) -> AbstractContextManager[None]:  # noqa: ARG002
        """Return a context that changes nothing: PostgreSQL keeps text that is UTF-8 only."""
        return nullcontext()
