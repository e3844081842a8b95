"""Looking out for what other servers commit: LISTEN, and a look now and then in case it is lost.

A pooler in front of the database may not pass notifications on, and a connection can die unheard;
so the feed is also looked at every few seconds, and after each reconnection.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from finial.runtime.logging import log
from finial.server.datastore.horizon import Sighting
from finial.server.datastore.postgres.backoff import Backoff
from finial.server.datastore.postgres.connection import connect, origin_of
from finial.server.datastore.postgres.failures import reason_of
from finial.server.datastore.postgres.session import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.server.datastore.horizon import Horizon
    from finial.server.datastore.postgres.connection import BoundedConnection
    from finial.server.datastore.postgres.target import PostgresTarget

_LOOK_SECONDS = 2.0

_SILENCE_SECONDS = 5.0
_LONGEST = 20
"""Digits of a revision."""

_LATEST = b"SELECT coalesce(max(revision), 0) FROM change_feed"
_SETTINGS = b"SET statement_timeout = '10s'"

logger = logging.getLogger(__name__)


class _LoopGone(Exception):  # noqa: N818  (it is the end, not an error)
    """Nobody is left to tell."""


class FeedWatcher:
    """A thread with a connection of its own. `seen` is called on it with whatever it finds."""

    def __init__(
        self,
        target: PostgresTarget,
        horizon: Horizon,
        seen: Callable[[Sighting], None],
    ) -> None:
        self._target = target
        self._horizon = horizon
        self._seen = seen
        self._raw: BoundedConnection | None = None
        self._origin = ""
        self._wake, self._end = os.pipe()
        self._backoff = Backoff()
        self._thread = threading.Thread(target=self._main, name="datastore-watcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and wait for that."""
        os.close(self._end)
        self._thread.join()
        os.close(self._wake)

    def _main(self) -> None:
        while not self._watch_for_a_connection() and not self._ended(self._backoff.left):
            pass
        self._drop()

    def _watch_for_a_connection(self) -> bool:
        """Connect, and report what is heard until the connection is lost; True at the end."""
        try:
            raw = self._connect()
            self._well()
            return self._watch(raw)
        except _LoopGone:
            return True
        except Exception as error:  # noqa: BLE001  (nothing else would start the thread again)
            self._unwell(reason_of(error, self._target))
            self._drop()
            return False

    def _well(self) -> None:
        if self._backoff.reason:
            log(logger, logging.INFO, "the database is back", database=self._target.name)
        self._backoff.succeeded()

    def _unwell(self, reason: str) -> None:
        if not self._backoff.reason:
            text = "the database cannot be watched; trying again"
            log(logger, logging.WARNING, text, database=self._target.name, error=reason)
        self._backoff.failed(reason)

    def _connect(self) -> BoundedConnection:
        raw = self._raw = connect(self._target)
        raw.silence = _SILENCE_SECONDS
        raw.execute(_SETTINGS)
        self._origin = origin_of(raw)
        raw.execute(f"LISTEN {CHANNEL}".encode())
        self._look(raw)
        return raw

    def _watch(self, raw: BoundedConnection) -> bool:
        while True:
            # First what came along with an answer, of which the socket knows nothing any more.
            told = [notice.payload for notice in raw.notifies(timeout=0)]
            if any(self._is_news(payload) for payload in told):
                self._look(raw)
            elif not told:
                ready = _readable(_LOOK_SECONDS, self._wake, raw.fileno())
                if self._wake in ready:
                    return True
                if not ready:
                    self._look(raw)

    def _is_news(self, payload: str) -> bool:
        """Whether a commit is another server's; anyone with a connection can say anything."""
        known = payload.isascii() and payload.isdecimal() and len(payload) < _LONGEST
        return not known or int(payload) > self._horizon.revision

    def _look(self, raw: BoundedConnection) -> None:
        before = self._horizon.mark()
        row = raw.execute(_LATEST).fetchone()
        sighting = Sighting(self._origin, int(row[0]) if row else 0, *before)
        try:
            self._seen(sighting)
        except RuntimeError:
            raise _LoopGone from None

    def _ended(self, seconds: float) -> bool:
        """Wait for the end, or for a time to pass."""
        return bool(_readable(seconds, self._wake))

    def _drop(self) -> None:
        if self._raw is not None:
            with suppress(Exception):
                self._raw.close()
            self._raw = None


def _readable(seconds: float, *files: int) -> list[int]:
    """Wait until some can be read from, or are closed at the other end, or for a time to pass."""
    poll = select.poll()  # select() refuses numbers above 1023
    for file in files:
        poll.register(file, select.POLLIN)
    return [file for file, _ in poll.poll(seconds * 1000)]
