"""Reading entries: by filter, by ID, by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, literal_column, select

from finial.server.datastore.listing import MemberTable, Page, SetColumn, page_of, paged
from finial.server.datastore.rows import entry_of
from finial.server.datastore.schema import entries, entry_federates, entry_selectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    from finial.server.datastore.rows import Decode
    from finial.server.registry.model import Entry, EntryFilter

_SELECTORS = SetColumn(
    MemberTable(entry_selectors, ("type", "value"), "entry_row"),
    entries.c.row,
    entries.c.selector_count,
    "selectors",
)
_FEDERATES = SetColumn(
    MemberTable(entry_federates, ("trust_domain",), "entry_row"),
    entries.c.row,
    entries.c.federates_count,
    "trust domain",
)

_CHUNK = 1000
"""Values in one IN list."""

_ALL = select(*entries.c)
_ONE = _ALL.where(entries.c.entry_id == bindparam("entry_id"))
_BY_ID = _ALL.where(entries.c.entry_id.in_(bindparam("wanted", expanding=True)))
_SIMILAR = _ALL.where(entries.c.similarity.in_(bindparam("wanted", expanding=True)))
_COUNT = select(func.count()).select_from(entries)


# Written out, not parameters: only so does the planner see that a partial index serves.
IS_DOWNSTREAM = entries.c.downstream == literal_column("1")
_EXPIRES = entries.c.expires_at > literal_column("0")


def expired_before(now: int) -> Select[*tuple[Any, ...]]:
    """Select the entries whose `expires_at` is set and lies before a time."""
    return _ALL.where(_EXPIRES, entries.c.expires_at < now)


def find(connection: Connection, entry_id: str) -> Entry | None:
    """Return the entry of that ID."""
    row = connection.execute(_ONE, {"entry_id": entry_id}).first()
    return None if row is None else entry_of(row)


def find_many(connection: Connection, entry_ids: Sequence[str]) -> dict[str, Entry]:
    """Return those of the entries that are stored, by ID."""
    return {entry.id: entry for entry in _in_chunks(connection, _BY_ID, entry_ids)}


def find_similar(connection: Connection, digests: Sequence[str]) -> list[Entry]:
    """Return the entries with one of these `similarity` digests, oldest first."""
    return sorted(_in_chunks(connection, _SIMILAR, digests), key=lambda entry: entry.row)


def find_all(connection: Connection, decode: Decode[Entry] = entry_of) -> list[Entry]:
    """Return every entry, oldest first, without those of which `decode` makes nothing."""
    rows = connection.execute(_ALL.order_by(entries.c.row))
    return [entry for row in rows if (entry := decode(row)) is not None]


def find_page(connection: Connection, wanted: EntryFilter, size: int, token: str) -> Page[Entry]:
    """Return one page of the entries that match.

    Raises:
        InvalidPageToken, EmptyFilter: as their names say.
    """
    statement = paged(_ALL.where(*_conditions(connection, wanted)), entries.c.row, size, token)
    items = [entry_of(row) for row in connection.execute(statement)]
    return page_of(items, [entry.row for entry in items], size)


def count(connection: Connection, wanted: EntryFilter) -> int:
    """Return how many entries match.

    Raises:
        EmptyFilter: a set filter names nothing.
    """
    return int(connection.execute(_COUNT.where(*_conditions(connection, wanted))).scalar_one())


def _conditions(connection: Connection, wanted: EntryFilter) -> list[ColumnElement[bool]]:
    columns = entries.c
    found: list[ColumnElement[bool]] = []
    if wanted.spiffe_id is not None:
        found.append(columns.spiffe_id == wanted.spiffe_id.uri)
    if wanted.parent_id is not None:
        found.append(columns.parent_id == wanted.parent_id.uri)
    if wanted.hint:
        found.append(columns.hint == wanted.hint)
    if wanted.downstream:
        found.append(IS_DOWNSTREAM)
    if wanted.selectors is not None:
        pairs = [(selector.type, selector.value) for selector in wanted.selectors]
        found.append(_SELECTORS.matches(connection, pairs, wanted.selectors_match))
    if wanted.federates_with is not None:
        names = [(name,) for name in wanted.federates_with]
        found.append(_FEDERATES.matches(connection, names, wanted.federates_with_match))
    return found


def _in_chunks(connection: Connection, statement: Any, values: Sequence[str]) -> list[Entry]:
    found: list[Entry] = []
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        found += [entry_of(row) for row in connection.execute(statement, {"wanted": chunk})]
    return found
