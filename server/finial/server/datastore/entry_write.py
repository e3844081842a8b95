"""Changing entries inside a transaction: what the entry store does, and what others do to entries.

A batch is one transaction, but each item succeeds or fails by itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, insert, select, update

from finial.server.datastore import entry_query
from finial.server.datastore.rows import entry_row, selectors_text, similarity_of
from finial.server.datastore.schema import bundles, entries, entry_federates, entry_selectors
from finial.server.registry.errors import (
    EntryIdTaken,
    InvalidEntry,
    NotFound,
    RegistryError,
    SimilarEntryExists,
    UnknownFederatedBundle,
)
from finial.server.registry.model import UPDATABLE_ENTRY_FIELDS
from finial.server.registry.validation import check_storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from finial.server.datastore.transaction import Transaction
    from finial.server.registry.model import Entry

KIND = "entry"

_INSERT = insert(entries)
_UPDATE = (
    update(entries)
    .where(entries.c.row == bindparam("at_row"))
    .values({column.name: bindparam(column.name) for column in entries.c if column.name != "row"})
)
_DELETE = delete(entries).where(entries.c.row == bindparam("at_row"))
_ADD_SELECTORS = insert(entry_selectors)
_DROP_SELECTORS = delete(entry_selectors).where(
    entry_selectors.c.type == bindparam("of_type"),
    entry_selectors.c.value == bindparam("of_value"),
    entry_selectors.c.entry_row == bindparam("at_row"),
)
_ADD_FEDERATES = insert(entry_federates)
_DROP_FEDERATES = delete(entry_federates).where(
    entry_federates.c.trust_domain == bindparam("of_name"),
    entry_federates.c.entry_row == bindparam("at_row"),
)
_KNOWN_BUNDLES = select(bundles.c.trust_domain).where(
    bundles.c.trust_domain.in_(bindparam("wanted", expanding=True))
)


def create(
    transaction: Transaction, wanted: Sequence[Entry], new_id: Callable[[], str]
) -> list[Entry | RegistryError]:
    """Store entries; for each, return it as stored or why it was not."""
    batch = _Creation(transaction, wanted, new_id)
    outcomes = [batch.add(entry) for entry in wanted]
    batch.write()
    return outcomes


class _Creation:
    """One batch: what it collides with is read at once, what it adds is written at once."""

    def __init__(
        self, transaction: Transaction, wanted: Sequence[Entry], new_id: Callable[[], str]
    ) -> None:
        connection = transaction.connection
        self._transaction = transaction
        self._new_id = new_id
        self._rows: list[dict[str, Any]] = []
        self._added: list[Entry] = []
        digests = [_similarity(entry) for entry in wanted]
        self._similar = {
            _similarity(entry): entry
            for entry in reversed(entry_query.find_similar(connection, digests))
        }
        own_ids = [entry.id for entry in wanted if entry.id]
        self._taken = set(entry_query.find_many(connection, own_ids)) if own_ids else set()
        self._bundles = known_bundles(transaction, wanted)

    def add(self, wanted: Entry) -> Entry | RegistryError:
        try:
            check_storable(wanted)
        except InvalidEntry as error:
            return error
        similarity = _similarity(wanted)
        existing = self._similar.get(similarity)
        if existing is not None:
            return SimilarEntryExists(existing)
        if wanted.id in self._taken:
            return EntryIdTaken(wanted.id)
        unknown = [name for name in wanted.federates_with if name not in self._bundles]
        if unknown:
            return UnknownFederatedBundle(unknown[0])
        return self._accept(wanted, similarity)

    def _accept(self, wanted: Entry, similarity: str) -> Entry:
        entry_id = wanted.id or self._new_id()
        entry = replace(
            wanted,
            id=entry_id,
            selectors=tuple(sorted(set(wanted.selectors))),
            revision_number=0,
            created_at=self._transaction.now,
            row=self._transaction.change(KIND, entry_id),
        )
        self._similar[similarity] = entry
        self._taken.add(entry_id)
        self._added.append(entry)
        return entry

    def write(self) -> None:
        if self._added:
            self._transaction.execute(_INSERT, [entry_row(entry) for entry in self._added])
            _add_members(self._transaction, self._added)


def _similarity(entry: Entry) -> str:
    return similarity_of(entry.spiffe_id, entry.parent_id, selectors_text(entry.selectors))


def modify(
    transaction: Transaction, wanted: Sequence[tuple[Entry, frozenset[str] | None]]
) -> list[Entry | RegistryError]:
    """Update entries by ID, each in the fields that its mask names (None: all that can be)."""
    stored = entry_query.find_many(transaction.connection, [entry.id for entry, _ in wanted])
    known = known_bundles(transaction, [entry for entry, _ in wanted])
    before = dict(stored)
    outcomes: list[Entry | RegistryError] = []
    for entry, mask in wanted:
        outcome = _merge(stored.get(entry.id), entry, mask, known)
        if not isinstance(outcome, RegistryError):
            stored[entry.id] = outcome
        outcomes.append(outcome)
    changed = [entry for entry_id, entry in stored.items() if entry is not before[entry_id]]
    if changed:
        _drop_members(transaction, [before[entry.id] for entry in changed])
        transaction.execute(
            _UPDATE, [{**entry_row(entry), "at_row": entry.row} for entry in changed]
        )
        _add_members(transaction, changed)
        for entry in changed:
            transaction.change(KIND, entry.id)
    return outcomes


def _merge(
    stored: Entry | None, wanted: Entry, mask: frozenset[str] | None, bundles_known: set[str]
) -> Entry | RegistryError:
    if stored is None:
        return NotFound("entry")
    names = UPDATABLE_ENTRY_FIELDS if mask is None else UPDATABLE_ENTRY_FIELDS & mask
    merged = replace(
        stored,
        **{name: getattr(wanted, name) for name in names},
        revision_number=stored.revision_number + 1,
    )
    merged = replace(merged, selectors=tuple(sorted(set(merged.selectors))))
    try:
        check_storable(merged)
    except InvalidEntry as error:
        return error
    if "federates_with" in names:
        unknown = [name for name in merged.federates_with if name not in bundles_known]
        if unknown:
            return UnknownFederatedBundle(unknown[0])
    return merged


def remove(transaction: Transaction, gone: Sequence[Entry]) -> None:
    """Delete entries that the transaction has read."""
    if not gone:
        return
    _drop_members(transaction, gone)
    transaction.execute(_DELETE, [{"at_row": entry.row} for entry in gone])
    for entry in gone:
        transaction.change(KIND, entry.id)


def known_bundles(transaction: Transaction, wanted: Iterable[Entry]) -> set[str]:
    """Return those of the domains that the entries federate with whose bundles are stored."""
    names = {name for entry in wanted for name in entry.federates_with}
    if not names:
        return set()
    return set(transaction.execute(_KNOWN_BUNDLES, {"wanted": sorted(names)}).scalars())


def _add_members(transaction: Transaction, added: Sequence[Entry]) -> None:
    transaction.execute(
        _ADD_SELECTORS,
        [
            {"type": selector.type, "value": selector.value, "entry_row": entry.row}
            for entry in added
            for selector in entry.selectors
        ],
    )
    federates = [
        {"trust_domain": name, "entry_row": entry.row}
        for entry in added
        for name in set(entry.federates_with)
    ]
    if federates:
        transaction.execute(_ADD_FEDERATES, federates)


def _drop_members(transaction: Transaction, dropped: Sequence[Entry]) -> None:
    transaction.execute(
        _DROP_SELECTORS,
        [
            {"of_type": selector.type, "of_value": selector.value, "at_row": entry.row}
            for entry in dropped
            for selector in entry.selectors
        ],
    )
    federates = [
        {"of_name": name, "at_row": entry.row}
        for entry in dropped
        for name in set(entry.federates_with)
    ]
    if federates:
        transaction.execute(_DROP_FEDERATES, federates)
