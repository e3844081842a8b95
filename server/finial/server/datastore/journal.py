"""The store of journals: small documents that their owners write whole, as the authorities'.

Of several servers on one database each has its own, under its ID (`finial.server.server_id`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from finial.server.datastore.schema import server_journals

if TYPE_CHECKING:
    from finial.server.datastore.database import Database
    from finial.server.datastore.transaction import Transaction

_COLUMNS = server_journals.c
_ONE = (_COLUMNS.server == bindparam("of_server"), _COLUMNS.name == bindparam("of_name"))
_GET = select(_COLUMNS.data).where(*_ONE)
_REPLACE = update(server_journals).where(*_ONE).values(data=bindparam("data"))
_INSERT = insert(server_journals)
_OTHERS = (
    select(_COLUMNS.server, _COLUMNS.name, _COLUMNS.data)
    .where(_COLUMNS.server != bindparam("of_server"))
    .order_by(_COLUMNS.server, _COLUMNS.name)
)
_REMOVE = delete(server_journals).where(*_ONE, _COLUMNS.data == bindparam("read"))
_ORPHANS = select(_COLUMNS.name).where(_COLUMNS.server == "")
_ADOPT = (
    update(server_journals)
    .where(_COLUMNS.server == "", _COLUMNS.name == bindparam("of_name"))
    .values(server=bindparam("of_server"))
)


class ForeignJournal(NamedTuple):
    """A journal of another server."""

    server: str
    name: str
    data: bytes


class JournalStore:
    """One server's journals by name. Every method raises StoreError when the database refuses."""

    def __init__(self, database: Database, server: str) -> None:
        self._database = database
        self._server = server

    async def get(self, name: str) -> bytes | None:
        """Return the journal's content, None before it was first written."""
        which = {"of_server": self._server, "of_name": name}
        return await self._database.read(lambda c: c.execute(_GET, which).scalar())

    async def put(self, name: str, data: bytes) -> None:
        """Replace the journal's content; on return it is on the disk."""
        which = {"of_server": self._server, "of_name": name}

        def work(transaction: Transaction) -> None:
            if not transaction.execute(_REPLACE, {**which, "data": data}).rowcount:
                row = {"server": self._server, "name": name, "data": data}
                transaction.execute(_INSERT, row)

        await self._database.write(work)

    async def adopt(self) -> None:
        """Take over what is from the time when the database knew of one server only.

        To be called before the first `get`. Of several servers one gets each journal.
        """

        def work(transaction: Transaction) -> None:
            for name in transaction.execute(_ORPHANS).scalars().all():
                which = {"of_server": self._server, "of_name": name}
                if transaction.execute(_GET, which).first() is None:
                    transaction.execute(_ADOPT, which)

        if await self._database.read(lambda c: c.execute(_ORPHANS).first()) is not None:
            await self._database.write(work)

    async def others(self) -> list[ForeignJournal]:
        """Return the journals of all other servers."""
        which = {"of_server": self._server}
        return await self._database.read(
            lambda c: [ForeignJournal(*row) for row in c.execute(_OTHERS, which)]
        )

    async def remove(self, journal: ForeignJournal) -> bool:
        """Delete another server's journal unless it was written since it was read; tell whether."""
        which = {"of_server": journal.server, "of_name": journal.name, "read": journal.data}
        return await self._database.write(lambda t: bool(t.execute(_REMOVE, which).rowcount))
