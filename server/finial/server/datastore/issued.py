"""The record of issued SVIDs: written before the SVID leaves, kept until it expires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select

from finial.server.datastore.schema import issued_svids
from finial.server.registry.model import IssuedSvid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.server.datastore.database import Database
    from finial.server.datastore.transaction import Recording

_INSERT = insert(issued_svids)
_PRUNED_AT_ONCE = 5000


class IssuedStore:
    """Issued SVIDs. Every method raises StoreError when the database refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, svids: Sequence[IssuedSvid]) -> None:
        """Return when the records are on the disk; callers at the same time share one flush."""
        if not svids:
            return
        rows = [_row(svid) for svid in svids]

        def work(recording: Recording) -> None:
            recording.gather(_INSERT, rows)

        await self._database.record(work)

    async def list(self, now: float) -> list[IssuedSvid]:
        """Return the SVIDs that have not expired, in the order in which they were recorded."""
        columns = issued_svids.c
        statement = (
            select(
                columns.kind,
                columns.serial_or_jti,
                columns.spiffe_id,
                columns.entry_id,
                columns.agent_id,
                columns.expires_at,
                columns.issued_at,
            )
            .where(columns.expires_at >= int(now))
            .order_by(columns.row)
        )
        return await self._database.read(
            lambda connection: [
                IssuedSvid(**row._mapping)  # noqa: SLF001  (SQLAlchemy's public name for it)
                for row in connection.execute(statement)
            ]
        )

    async def count(self) -> int:
        """Return how many records are kept."""
        statement = select(func.count()).select_from(issued_svids)
        return await self._database.read(lambda c: int(c.execute(statement).scalar_one()))

    async def prune_expired(self, now: float) -> int:
        """Delete records of expired SVIDs, five thousand at most; return how many."""
        columns = issued_svids.c
        old = select(columns.row).where(columns.expires_at < int(now)).limit(_PRUNED_AT_ONCE)
        statement = delete(issued_svids).where(columns.row.in_(old))
        return await self._database.write(lambda t: t.execute(statement).rowcount)


def _row(svid: IssuedSvid) -> dict[str, Any]:
    return {
        "kind": svid.kind,
        "serial_or_jti": svid.serial_or_jti,
        "spiffe_id": svid.spiffe_id,
        "entry_id": svid.entry_id,
        "agent_id": svid.agent_id,
        "expires_at": svid.expires_at,
        "issued_at": svid.issued_at,
    }
