"""The store of journals: small documents that their owners write whole, as the authorities'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from finial.server.datastore.schema import journals

if TYPE_CHECKING:
    from finial.server.datastore.database import Database
    from finial.server.datastore.transaction import Transaction


class JournalStore:
    """Journals by name. Every method raises StoreError when the database refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> bytes | None:
        """Return the journal's content, None before it was first written."""
        statement = select(journals.c.data).where(journals.c.name == name)
        return await self._database.read(lambda c: c.execute(statement).scalar())

    async def put(self, name: str, data: bytes) -> None:
        """Replace the journal's content; on return it is on the disk."""

        def work(transaction: Transaction) -> None:
            replaced = update(journals).where(journals.c.name == name).values(data=data)
            if not transaction.execute(replaced).rowcount:
                transaction.execute(insert(journals).values(name=name, data=data))

        await self._database.write(work)
