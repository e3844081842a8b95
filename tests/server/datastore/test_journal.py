from pathlib import Path

from sqlalchemy import insert, text

from finial.server.datastore.database import Database
from finial.server.datastore.journal import ForeignJournal, JournalStore
from finial.server.datastore.migrations import migrate
from finial.server.datastore.schema import server_journals
from finial.server.datastore.sqlite import SqliteSession
from finial.server.datastore.transaction import Transaction
from tests.fakes.clock import FakeClock


async def left_by_one_server(database: Database, name: str, data: bytes) -> None:
    """A journal as the migration leaves it, of the time when there was one server only."""

    def work(transaction: Transaction) -> None:
        transaction.execute(insert(server_journals), {"server": "", "name": name, "data": data})

    await database.write(work)


async def test_each_server_has_journals_of_its_own(database: Database) -> None:
    one, other = JournalStore(database, "one"), JournalStore(database, "other")
    await one.put("authority/x509", b"1")
    assert await other.get("authority/x509") is None
    await other.put("authority/x509", b"2")
    assert await one.get("authority/x509") == b"1"
    assert await one.others() == [ForeignJournal("other", "authority/x509", b"2")]


async def test_what_one_server_has_left_is_adopted_by_one_server(database: Database) -> None:
    await left_by_one_server(database, "authority/x509", b"1")
    await left_by_one_server(database, "authority/jwt", b"2")
    one, other = JournalStore(database, "one"), JournalStore(database, "other")
    await one.adopt()
    await other.adopt()
    assert (await one.get("authority/x509"), await one.get("authority/jwt")) == (b"1", b"2")
    assert await other.get("authority/x509") is None
    assert await one.others() == []


async def test_a_server_that_has_a_journal_adopts_no_second_one(database: Database) -> None:
    one = JournalStore(database, "one")
    await one.put("authority/x509", b"own")
    await left_by_one_server(database, "authority/x509", b"left")
    await one.adopt()
    assert await one.get("authority/x509") == b"own"


async def test_another_servers_journal_is_removed_unless_it_was_written_since(
    database: Database,
) -> None:
    one, other = JournalStore(database, "one"), JournalStore(database, "other")
    await other.put("authority/x509", b"1")
    (read,) = await one.others()
    await other.put("authority/x509", b"2")
    assert not await one.remove(read)
    assert await other.get("authority/x509") == b"2"
    (read,) = await one.others()
    assert await one.remove(read)
    assert not await one.remove(read)
    assert await other.get("authority/x509") is None


async def test_the_journals_of_an_older_database_are_its_servers_after_the_migration(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / "old.sqlite3"
    session = SqliteSession(path, writer=True)
    session.begin()
    migrate(session.connection, "0002")
    old = text("INSERT INTO journals (name, data) VALUES ('authority/x509', x'6e6f746564')")
    session.connection.execute(old)
    session.commit()
    session.close()
    database = await Database.open(path, clock)
    store = JournalStore(database, "one")
    await store.adopt()
    assert await store.get("authority/x509") == b"noted"
    await database.close()
