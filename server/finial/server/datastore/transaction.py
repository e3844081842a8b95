"""One write to the database, and the changes that it will announce."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import insert

from finial.server.datastore.schema import change_feed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, CursorResult, Executable

_FEED = insert(change_feed)


class Change(NamedTuple):
    """A row of the change feed: at `revision`, the thing named by `kind` and `key` changed."""

    revision: int
    kind: str
    key: str


class Recording:
    """What a write works with that announces nothing."""

    __slots__ = ("_at", "_gathered", "connection")

    def __init__(self, connection: Connection, at: int) -> None:
        self.connection = connection
        self._at = at
        self._gathered: dict[Executable, list[Mapping[str, Any]]] = {}

    @property
    def now(self) -> int:
        """When the transaction began, in Unix seconds."""
        return self._at

    def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Run a statement, once for each of a sequence of parameter sets."""
        return self.connection.execute(statement, parameters)

    def gather(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run an insert that needs no answer before the commit, once for all that share it."""
        self._gathered.setdefault(statement, []).extend(rows)

    def finish(self) -> None:
        """Write what was gathered; the last act before the commit."""
        for statement, rows in self._gathered.items():
            self.execute(statement, rows)


class Transaction(Recording):
    """A write that can `change` things: whatever others must see.

    Revisions ascend by one from the last one committed. The feed's rows are written by `finish`,
    in one statement for all that share the transaction.
    """

    __slots__ = ("_changes", "revision")

    def __init__(self, connection: Connection, revision: int, at: int) -> None:
        super().__init__(connection, at)
        self.revision = revision
        self._changes: list[dict[str, str | int]] = []

    def change(self, kind: str, key: str) -> int:
        """Announce that a thing changed; return the revision at which it did."""
        self.revision += 1
        self._changes.append({"revision": self.revision, "kind": kind, "key": key, "at": self._at})
        return self.revision

    def finish(self) -> None:
        """Write what was gathered, and the announcements; the last act before the commit."""
        super().finish()
        if self._changes:
            self.execute(_FEED, self._changes)
