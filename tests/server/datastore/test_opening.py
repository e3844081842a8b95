import hashlib
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.errors import (
    DatabaseDamaged,
    ForeignDatabase,
    NewerSchema,
    NotWritable,
    SpireDatabase,
    StoreClosed,
    StoreUnusable,
)
from finial.server.datastore.feed import FeedStore
from finial.server.datastore.migrations import migrate, scripts
from finial.server.datastore.schema import HEAD, KNOWN
from finial.server.datastore.sqlite import SqliteSession
from finial.server.registry.model import Entry
from tests.fakes.clock import FakeClock
from tests.server.registry.examples import entry


def schema_of(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
    return {name: " ".join((sql or "").split()) for name, sql in rows}


def modes_in(folder: Path) -> set[int]:
    return {file.stat().st_mode & 0o777 for file in folder.iterdir()}


def state_of(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file()
    }


async def test_a_new_database_is_made_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "datastore.sqlite3"
    database = await Database.open(path, FakeClock())
    await EntryStore(database).create_many([entry()])
    assert modes_in(tmp_path) == {0o600}
    await database.close()


async def test_what_was_stored_is_there_after_reopening_and_revisions_go_on(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/datastore.sqlite3"
    first = await Database.open(url, FakeClock())
    (stored,) = await EntryStore(first).create_many([entry("a")])
    await first.close()
    second = await Database.open(url, FakeClock())
    store = EntryStore(second)
    assert (await store.list()).items == (stored,)
    (later,) = await store.create_many([entry("b")])
    assert isinstance(stored, Entry)
    assert isinstance(later, Entry)
    assert later.row > stored.row
    await second.close()


async def test_a_new_database_is_what_all_migrations_make(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "made.sqlite3", FakeClock())
    await database.close()
    session = SqliteSession(tmp_path / "migrated.sqlite3", writer=True)
    session.begin()
    migrate(session.connection)
    session.commit()
    session.close()
    assert schema_of(tmp_path / "made.sqlite3") == schema_of(tmp_path / "migrated.sqlite3")


def test_the_program_knows_the_migrations_that_it_ships() -> None:
    assert scripts().get_heads() == [HEAD]
    assert {script.revision for script in scripts().walk_revisions()} == KNOWN


async def test_an_older_database_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
            "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    database = await Database.open(path, FakeClock())
    await EntryStore(database).create_many([entry()])
    await database.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [(HEAD,)]


def test_migrations_are_not_even_imported_for_a_current_database(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from finial.runtime.clock import SystemClock\n"
        "from finial.server.datastore.database import Database\n"
        "async def main():\n"
        "    for _ in range(2):\n"
        f"        await (await Database.open({str(tmp_path / 'd')!r}, SystemClock())).close()\n"
        "asyncio.run(main())\n"
        "assert 'alembic' not in sys.modules\n"
    )
    path = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": path})


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "datastore.sqlite3"
    await (await Database.open(path, FakeClock())).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(NewerSchema, match=r"written by a newer Finial .*9999.*start that version"):
        await Database.open(path, FakeClock())


@pytest.mark.parametrize("content", [b"not a database, but long enough " * 40, b"x", b"\0" * 8192])
async def test_a_file_that_is_no_database_is_refused_and_named(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "datastore.sqlite3"
    path.write_bytes(content)
    with pytest.raises(DatabaseDamaged, match=r"datastore.sqlite3 is damaged .*restore"):
        await Database.open(path, FakeClock())
    assert path.read_bytes() == content


async def test_a_database_with_a_broken_first_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "datastore.sqlite3"
    await (await Database.open(path, FakeClock())).close()
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(range(100))
    path.write_bytes(content)
    with pytest.raises(DatabaseDamaged):
        await Database.open(path, FakeClock())


async def load(path: Path) -> None:
    """Do as a starting server does."""
    database = await Database.open(path, FakeClock())
    try:
        await FeedStore(database).everything()
    finally:
        await database.close()


def make_spire_database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE registered_entries (id INTEGER PRIMARY KEY)")
    connection.execute("INSERT INTO registered_entries VALUES (7)")
    connection.commit()
    return connection


async def test_a_database_with_broken_pages_further_in_is_refused_by_the_load(
    tmp_path: Path,
) -> None:
    path = tmp_path / "datastore.sqlite3"
    database = await Database.open(path, FakeClock())
    await EntryStore(database).create_many([entry(f"w{number}") for number in range(500)])
    await database.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 4 :] = b"\xa5" * (len(content) - len(content) // 4)
    path.write_bytes(content)
    with pytest.raises(DatabaseDamaged):
        await load(path)


async def test_spires_own_database_is_refused_untouched_with_the_way_to_import_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "datastore.sqlite3"
    make_spire_database(path).close()
    before = state_of(tmp_path)
    with pytest.raises(SpireDatabase, match="`finial server import spire`"):
        await Database.open(path, FakeClock())
    assert state_of(tmp_path) == before


async def test_spires_database_is_known_from_its_log_alone_and_the_log_stays(
    tmp_path: Path,
) -> None:
    live = tmp_path / "live"
    live.mkdir()
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    with closing(make_spire_database(live / "datastore.sqlite3")):
        for file in live.iterdir():
            if not file.name.endswith("-shm"):
                (crashed / file.name).write_bytes(file.read_bytes())
    before = state_of(crashed)
    assert len(before) == 2
    with pytest.raises(SpireDatabase):
        await Database.open(crashed / "datastore.sqlite3", FakeClock())
    assert state_of(crashed) == before


async def test_another_programs_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "datastore.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    before = state_of(tmp_path)
    with pytest.raises(ForeignDatabase, match="table songs"):
        await Database.open(path, FakeClock())
    assert state_of(tmp_path) == before


@pytest.mark.parametrize("path", ["/nonexistent/folder/d.sqlite3", "/proc/datastore.sqlite3"])
async def test_a_folder_that_cannot_be_written_is_named(path: str) -> None:
    with pytest.raises(NotWritable, match=path):
        await Database.open(path, FakeClock())


async def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match=str(tmp_path)):
        await Database.open(tmp_path, FakeClock())


async def test_a_kind_of_database_that_is_not_served_is_refused() -> None:
    with pytest.raises(StoreUnusable, match="mysql"):
        await Database.open("mysql://user@host/spire", FakeClock())


async def test_a_closed_database_says_so(database: Database) -> None:
    await database.close()
    await database.close()
    with pytest.raises(StoreClosed):
        await EntryStore(database).count()
