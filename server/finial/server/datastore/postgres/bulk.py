"""Inserts of many rows as one array a column.

A parameter for each value, as SQLAlchemy and psycopg send them, costs three times the processor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Insert, Table, event, insert, text
from sqlalchemy.dialects import postgresql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Dialect, Engine, Executable

_FEWEST = 4
"""Rows from which on it pays."""

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

_Folding = dict[tuple[str, ...], "Executable"]


def fold_inserts(engine: Engine) -> None:
    """Run every plain insert of several rows through the engine as one of arrays."""
    known: WeakKeyDictionary[Executable, _Folding | None] = WeakKeyDictionary()

    def fold(
        _: Connection,
        statement: Executable,
        multiparams: Sequence[Mapping[str, Any]],
        params: Mapping[str, Any],
        __: Mapping[str, Any],
    ) -> tuple[Executable, Sequence[Mapping[str, Any]], Mapping[str, Any]]:
        if len(multiparams) < _FEWEST or not isinstance(statement, Insert):
            return statement, multiparams, params
        if statement not in known:
            known[statement] = {} if statement.compare(insert(statement.table)) else None
        made = known[statement]
        if made is None:
            return statement, multiparams, params
        names = tuple(multiparams[0])
        if names not in made:
            made[names] = _from_arrays(statement, names)
        return made[names], [], {name: [row[name] for row in multiparams] for name in names}

    event.listen(engine, "before_execute", fold, retval=True)


def _from_arrays(statement: Insert, names: Sequence[str]) -> Executable:
    table = statement.table
    assert isinstance(table, Table)
    columns = ", ".join(f'"{name}"' for name in names)
    arrays = ", ".join(
        f"CAST(:{name} AS {table.c[name].type.compile(_DIALECT)}[])" for name in names
    )
    return text(f'INSERT INTO "{table.name}" ({columns}) SELECT * FROM unnest({arrays})')  # noqa: S608
