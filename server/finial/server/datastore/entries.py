"""The store of registration entries."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from finial.server.datastore import entry_query, entry_write
from finial.server.datastore.rows import entry_of
from finial.server.registry.errors import NotFound
from finial.server.registry.model import EntryFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from finial.server.datastore.database import Database
    from finial.server.datastore.listing import Page
    from finial.server.datastore.transaction import Transaction
    from finial.server.registry.errors import RegistryError
    from finial.server.registry.model import Entry

_EVERYTHING = EntryFilter()
_PRUNED_AT_ONCE = 1000


def random_id() -> str:
    """Return a random UUID in text form, what entries are named by."""
    return str(uuid.uuid4())


class EntryStore:
    """Entries by ID. `new_id` names those that come without one (random UUIDs).

    A batch is one transaction with an outcome for each item, in order. Every method raises
    StoreError when the database refuses.
    """

    def __init__(self, database: Database, new_id: Callable[[], str] = random_id) -> None:
        self._database = database
        self._new_id = new_id

    async def create_many(self, wanted: Sequence[Entry]) -> list[Entry | RegistryError]:
        """Store entries. Takes their `id` if set; gives `revision_number`, `created_at`, `row`.

        An item's outcome may be SimilarEntryExists, EntryIdTaken, UnknownFederatedBundle or
        InvalidEntry; entries of the same batch count as existing.
        """
        return await self._database.write(
            lambda transaction: entry_write.create(transaction, wanted, self._new_id)
        )

    async def update_many(
        self, wanted: Sequence[tuple[Entry, frozenset[str] | None]]
    ) -> list[Entry | RegistryError]:
        """Overwrite the fields that each mask names (names of Entry; None: all) by entry ID.

        An item's outcome may be NotFound, UnknownFederatedBundle or InvalidEntry. Each success
        raises `revision_number` by one, also when nothing differs; similar entries may result.
        """
        return await self._database.write(
            lambda transaction: entry_write.modify(transaction, wanted)
        )

    async def delete_many(self, entry_ids: Sequence[str]) -> list[Entry | NotFound]:
        """Delete entries by ID; an item's outcome is the entry that was, or NotFound."""

        def work(transaction: Transaction) -> list[Entry | NotFound]:
            stored = entry_query.find_many(transaction.connection, entry_ids)
            entry_write.remove(transaction, list(stored.values()))
            # A repeated ID finds nothing the second time.
            return [_taken(stored, entry_id) for entry_id in entry_ids]

        return await self._database.write(work)

    async def get(self, entry_id: str) -> Entry | None:
        """Return the entry of that ID."""
        return await self._database.read(lambda connection: entry_query.find(connection, entry_id))

    async def list(
        self, wanted: EntryFilter = _EVERYTHING, page_size: int = 0, page_token: str = ""
    ) -> Page[Entry]:
        """Return the matching entries in order of creation, all of them if `page_size` < 1.

        Raises:
            InvalidPageToken: the token is not one of ours.
            EmptyFilter: a set filter names nothing.
        """
        return await self._database.read(
            lambda connection: entry_query.find_page(connection, wanted, page_size, page_token)
        )

    async def count(self, wanted: EntryFilter = _EVERYTHING) -> int:
        """Return how many entries match.

        Raises:
            EmptyFilter: a set filter names nothing.
        """
        return await self._database.read(lambda connection: entry_query.count(connection, wanted))

    async def prune_expired(self, now: float) -> int:
        """Delete entries whose `expires_at` has passed, a thousand at most; return how many."""

        def work(transaction: Transaction) -> int:
            statement = entry_query.expired_before(int(now)).limit(_PRUNED_AT_ONCE)
            gone = [entry_of(row) for row in transaction.execute(statement)]
            entry_write.remove(transaction, gone)
            return len(gone)

        return await self._database.write(work)


def _taken(stored: dict[str, Entry], entry_id: str) -> Entry | NotFound:
    return stored.pop(entry_id) if entry_id in stored else NotFound("entry")
