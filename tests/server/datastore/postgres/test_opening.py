import asyncio
import logging

import psycopg
import pytest
from sqlalchemy import text

from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.errors import (
    ForeignDatabase,
    NewerSchema,
    SpireDatabase,
    StoreUnreachable,
    StoreUnusable,
)
from finial.server.datastore.migrations import migrate
from finial.server.datastore.postgres import PostgresTarget
from finial.server.datastore.postgres.session import PostgresSession
from finial.server.datastore.schema import HEAD
from tests.fakes.clock import FakeClock
from tests.fakes.postgres import PostgresServer, free_port
from tests.server.datastore.postgres.conftest import run
from tests.server.registry.examples import entry

SCHEMA = """
    SELECT table_name, column_name, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public'
    ORDER BY 1, 2
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


async def open_and_close(where: PostgresTarget | str) -> None:
    await (await Database.open(where, FakeClock())).close()


async def test_two_servers_that_start_at_once_make_one_schema(
    where: PostgresTarget, postgres_dsn: str
) -> None:
    await asyncio.gather(*(open_and_close(where) for _ in range(3)))
    assert run(postgres_dsn, "SELECT * FROM alembic_version") == [(HEAD,)]


async def test_a_new_database_is_what_all_migrations_make(
    where: PostgresTarget, postgres_server: PostgresServer, postgres_dsn: str
) -> None:
    await open_and_close(where)
    with postgres_server.database() as migrated:
        session = PostgresSession.writer(PostgresTarget.of(migrated))
        session.begin_alone()
        migrate(session.connection)
        session.commit()
        session.close()
        assert run(postgres_dsn, SCHEMA) == run(migrated, SCHEMA)


async def test_an_older_database_is_migrated_by_the_first_of_two_servers(
    where: PostgresTarget, postgres_dsn: str
) -> None:
    session = PostgresSession.writer(where)
    session.begin_alone()
    migrate(session.connection, "0001")
    session.commit()
    session.close()
    assert run(postgres_dsn, "SELECT * FROM alembic_version") == [("0001",)]
    first, second = await asyncio.gather(*(Database.open(where, FakeClock()) for _ in range(2)))
    await EntryStore(first).create_many([entry()])
    assert await EntryStore(second).count() == 1
    assert run(postgres_dsn, "SELECT * FROM alembic_version") == [(HEAD,)]
    await first.close()
    await second.close()


async def test_a_newer_database_is_refused(where: PostgresTarget, postgres_dsn: str) -> None:
    await open_and_close(where)
    run(postgres_dsn, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NewerSchema, match=r"written by a newer Finial .*9999.*start that version"):
        await open_and_close(where)


async def test_spires_own_database_is_refused_untouched(
    where: PostgresTarget, postgres_dsn: str
) -> None:
    run(postgres_dsn, "CREATE TABLE registered_entries (id integer)")
    with pytest.raises(SpireDatabase, match="`finial server import spire`"):
        await open_and_close(where)
    assert run(postgres_dsn, TABLES) == [("registered_entries",)]


async def test_another_programs_database_is_refused_untouched(
    where: PostgresTarget, postgres_dsn: str
) -> None:
    run(postgres_dsn, "CREATE TABLE songs (title text)")
    with pytest.raises(ForeignDatabase, match="table songs"):
        await open_and_close(where)
    assert run(postgres_dsn, TABLES) == [("songs",)]


async def test_a_server_that_is_down_is_named_with_the_way_out() -> None:
    port = free_port()
    where = f"postgres://spiffe:horse-battery@127.0.0.1:{port}/spire"
    with pytest.raises(StoreUnreachable, match=rf"127.0.0.1:{port}/spire cannot be reached") as no:
        await open_and_close(where)
    assert "check that it runs" in str(no.value)
    assert "horse-battery" not in str(no.value)


async def test_a_server_without_tls_is_told_of_how_to_do_without(
    postgres_server: PostgresServer,
) -> None:
    where = postgres_server.url().replace("?sslmode=disable", "")
    with pytest.raises(StoreUnreachable, match="sslmode=disable would go on in the clear"):
        await open_and_close(where)


async def test_a_database_that_is_not_there_is_to_be_created(
    postgres_server: PostgresServer,
) -> None:
    with pytest.raises(StoreUnreachable, match=r'"nowhere" does not exist; create it'):
        await open_and_close(PostgresTarget.of(postgres_server.dsn("nowhere")))


async def test_a_user_without_rights_is_told_which_ones(
    where: PostgresTarget, postgres_dsn: str
) -> None:
    name = f"r{postgres_dsn.rpartition('=')[2]}"
    run(postgres_dsn, f"CREATE ROLE {name} LOGIN")
    try:
        lesser = PostgresTarget.of(f"{postgres_dsn} user={name}")
        with pytest.raises(StoreUnusable, match=r"permission denied .*GRANT .*CREATE"):
            await open_and_close(lesser)
    finally:
        run(postgres_dsn, f"DROP ROLE {name}")
    del where


async def test_a_database_that_is_not_in_utf_8_is_refused(
    postgres_server: PostgresServer,
) -> None:
    statement = "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'"
    postgres_server.execute(statement)
    try:
        with pytest.raises(StoreUnusable, match=r"encoding SQL_ASCII: create one with"):
            await open_and_close(PostgresTarget.of(postgres_server.dsn("ascii")))
    finally:
        postgres_server.execute("DROP DATABASE ascii")


async def test_no_connection_is_left_of_a_database_that_was_closed_or_refused(
    where: PostgresTarget, postgres_dsn: str, postgres_server: PostgresServer
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(postgres_dsn)["dbname"]
    await open_and_close(where)
    run(postgres_dsn, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NewerSchema):
        await open_and_close(where)
    left = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
    for _ in range(1000):  # the server takes a moment to notice
        if (count := postgres_server.execute(left)) == [(0,)]:
            break
    assert count == [(0,)]


async def test_a_commit_is_on_the_disk_even_where_that_is_off_by_default(
    where: PostgresTarget, postgres_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    run(
        postgres_dsn,
        f"ALTER DATABASE {postgres_dsn.rpartition('=')[2]} SET synchronous_commit = off",
    )
    database = await Database.open(where, FakeClock())
    shown = "SHOW synchronous_commit"
    assert await database.write(lambda t: t.execute(text(shown)).scalar()) == "on"
    await database.close()
