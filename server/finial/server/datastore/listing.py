"""What every list shares: pages, and filters by a set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import ColumnElement, and_, func, literal, select, tuple_

from finial.server.registry.errors import EmptyFilter, InvalidPageToken
from finial.server.registry.model import Match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, Connection, Select, Table

_ENOUGH_TO_BE_COMMON = 100
_MANY = 16
"""Members of a wanted set from which on counting beats asking for each."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list in order of creation; an empty `next_page_token` ends it."""

    items: tuple[T, ...]
    next_page_token: str


def paged(
    statement: Select[*tuple[Any, ...]], row: Column[int], size: int, token: str
) -> Select[*tuple[Any, ...]]:
    """Limit a statement to one page; a size of 0 or less means everything after the token.

    Raises:
        InvalidPageToken: the token is not a number.
    """
    statement = statement.order_by(row)
    if token:
        if not (token.isascii() and token.isdecimal()) or len(token) > 18:
            raise InvalidPageToken(token)
        statement = statement.where(row > int(token))
    return statement.limit(size) if size > 0 else statement


def page_of(items: Sequence[T], rows: Sequence[int], size: int) -> Page[T]:
    """Make a page; the token names its last row, and only an empty page has none (as SPIRE's)."""
    return Page(tuple(items), str(rows[-1]) if size > 0 and rows else "")


@dataclass(frozen=True, slots=True)
class MemberTable:
    """A table that holds the members of sets: which columns are the member, which the owner."""

    table: Table
    member: tuple[str, ...]
    owner: str

    def having(self, member: tuple[str, ...]) -> Select[*tuple[Any, ...]]:
        """Select the owners of the sets that have a member."""
        return select(self.table.c[self.owner]).where(self._is(member))

    def having_any(self, members: Sequence[tuple[str, ...]]) -> Select[*tuple[Any, ...]]:
        """Select the owners of the sets that have any of some members, once for each."""
        columns = tuple_(*(self.table.c[name] for name in self.member))
        return select(self.table.c[self.owner]).where(columns.in_(members))

    def has(self, row: Column[int], member: tuple[str, ...]) -> ColumnElement[bool]:
        """Return the condition that the set of `row` has a member."""
        owner = self.table.c[self.owner]
        return select(owner).where(self._is(member), owner == row).correlate(row.table).exists()

    def _is(self, member: tuple[str, ...]) -> ColumnElement[bool]:
        columns = self.table.c
        return and_(
            *(columns[name] == part for name, part in zip(self.member, member, strict=True))
        )


@dataclass(frozen=True, slots=True)
class SetColumn:
    """A set that each row of a table has: the row's key, the set's size, where its members are."""

    members: MemberTable
    row: Column[int]
    size: Column[int]
    what: str

    def matches(
        self, connection: Connection, wanted: Sequence[tuple[str, ...]], match: Match
    ) -> ColumnElement[bool]:
        """Return the condition that a row's set matches the wanted one.

        Raises:
            EmptyFilter: nothing is wanted.
        """
        distinct = sorted(set(wanted))
        if not distinct:
            raise EmptyFilter(self.what)
        if match is Match.ANY:
            return self.row.in_(self.members.having_any(distinct))
        if match is Match.SUBSET:
            return self._has_in_common(distinct, self.size)
        if len(distinct) > _MANY:
            contains = self._has_in_common(distinct, literal(len(distinct)))
        else:
            rarest, *others = self._rarest_first(connection, distinct)
            contains = and_(
                self.row.in_(self.members.having(rarest)),
                *(self.members.has(self.row, member) for member in others),
            )
        return contains if match is Match.SUPERSET else and_(contains, self.size == len(distinct))

    def _has_in_common(
        self, distinct: Sequence[tuple[str, ...]], number: ColumnElement[int]
    ) -> ColumnElement[bool]:
        """Return the condition that a row's set has so many of its members in `distinct`."""
        owner = self.members.owner
        hits = self.members.having_any(distinct).add_columns(func.count().label("hits"))
        found = hits.group_by(hits.selected_columns[owner]).subquery()
        mine = select(found.c.hits).where(found.c[owner] == self.row).scalar_subquery()
        return and_(self.row.in_(select(found.c[owner])), number == mine)

    def _rarest_first(
        self, connection: Connection, distinct: list[tuple[str, ...]]
    ) -> list[tuple[str, ...]]:
        """Sort by how many sets have a member: the first is what the search begins with."""
        if len(distinct) == 1:
            return distinct

        def count(member: tuple[str, ...]) -> int:
            few = self.members.having(member).limit(_ENOUGH_TO_BE_COMMON).subquery()
            return int(connection.execute(select(func.count()).select_from(few)).scalar_one())

        return sorted(distinct, key=count)
