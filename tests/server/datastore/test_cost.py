"""What a statement costs must not grow with the number of entries: it is looked up by an index."""

import asyncio
import sys
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest
from sqlalchemy import Connection, Select
from sqlalchemy.dialects import sqlite

from finial.server.datastore import entry_query
from finial.server.datastore.database import Database
from finial.server.datastore.schema import entries
from tests.server.registry.examples import NODE, entry


def plan_of(path: Path, statement: Select[*tuple[object, ...]]) -> str:
    # With parameters, as it runs: a partial index is not used where the planner must guess them.
    made = statement.compile(dialect=sqlite.dialect()).construct_expanded_state()
    with closing(connect(path)) as connection:
        explained = f"EXPLAIN QUERY PLAN {made.statement}"
        steps = connection.execute(explained, made.positional_parameters).fetchall()
    return "; ".join(detail for *_, detail in steps)


LOOKED_UP = pytest.mark.parametrize(
    ("statement", "index"),
    [
        (entry_query._SIMILAR.params(wanted=["a", "b"]), "entries_similarity"),
        (entry_query._BY_ID.params(wanted=["a", "b"]), "entries_entry_id"),
        (entry_query._ONE.params(entry_id="a"), "entries_entry_id"),
        (
            entry_query._ALL.where(entries.c.parent_id == NODE.uri, entries.c.row > 7).order_by(
                entries.c.row
            ),
            "entries_parent_id",
        ),
        (entry_query._ALL.where(entries.c.spiffe_id == entry().spiffe_id.uri), "entries_spiffe_id"),
        (entry_query._ALL.where(entry_query.IS_DOWNSTREAM), "entries_downstream"),
        (entry_query.expired_before(1_800_000_000), "entries_expires_at"),
    ],
)
ON_SQLITE = pytest.mark.parametrize("where", ["sqlite"], indirect=True)
ON_POSTGRES = pytest.mark.parametrize("where", ["postgres"], indirect=True)


@LOOKED_UP
@ON_SQLITE
async def test_entries_are_looked_up_by_index(
    database: Database, statement: Select[*tuple[object, ...]], index: str
) -> None:
    plan = await asyncio.to_thread(plan_of, Path(database.name), statement)
    assert "SEARCH" in plan or index == "entries_downstream", plan
    assert index in plan
    assert "TEMP B-TREE" not in plan


@LOOKED_UP
@ON_POSTGRES
async def test_postgresql_can_look_entries_up_by_the_same_index(
    database: Database, statement: Select[*tuple[object, ...]], index: str
) -> None:
    """Few rows are always read whole, so it is asked what it would do if that were dear."""

    def explain(connection: Connection) -> str:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        made = statement.compile(dialect=connection.dialect).construct_expanded_state()
        rows = connection.exec_driver_sql(
            f"EXPLAIN {made.statement}", dict(made.parameters)
        ).scalars()
        return "\n".join(rows)

    plan = await database.read(explain)
    assert index in plan
    assert "Seq Scan" not in plan


@ON_SQLITE
def test_a_thread_gets_the_interpreter_lock_from_a_busy_loop_soon(database: Database) -> None:
    assert Path(database.name).exists()
    assert sys.getswitchinterval() <= 0.0001
