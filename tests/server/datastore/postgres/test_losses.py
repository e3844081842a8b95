"""Connections that break, servers that hang, and a replica that takes over."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import insert, select, text

from finial.runtime.clock import SystemClock
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.errors import (
    OutcomeUnknown,
    StoreError,
    StoreSlow,
    StoreUnreachable,
)
from finial.server.datastore.feed import FeedStore
from finial.server.datastore.postgres import PostgresTarget
from finial.server.datastore.schema import properties
from finial.server.datastore.transaction import Transaction
from finial.server.registry.feed import FeedReader
from finial.server.registry.model import Entry
from tests.fakes.clock import FakeClock
from tests.fakes.postgres import Pair, PostgresServer
from tests.server.datastore.postgres.conftest import run
from tests.server.registry.examples import entry

OWN_PID = text("SELECT pg_backend_pid()")
NAMES = select(properties.c.name)


def put(transaction: Transaction) -> None:
    transaction.execute(insert(properties).values(name="mine", value="v"))
    transaction.change("thing", "mine")


async def names(database: Database) -> list[str]:
    return await database.read(lambda c: list(c.execute(NAMES).scalars()))


async def until(attempt: Callable[[], Awaitable[object]]) -> None:
    """Repeat what may fail for lack of a connection, as callers do."""
    while True:
        try:
            await attempt()
        except StoreError:
            await asyncio.sleep(0.05)
        else:
            return


def kill(dsn: str, pid: int) -> None:
    run(dsn, f"SELECT pg_terminate_backend({pid}, 5000)")


async def test_connections_that_died_while_idle_are_made_anew_unnoticed(
    database: Database, postgres_dsn: str
) -> None:
    await database.write(put)
    others = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = "
        "current_database() AND pid <> pg_backend_pid()"
    )
    await asyncio.to_thread(run, postgres_dsn, others)
    assert await names(database) == ["mine"]
    await database.write(lambda t: t.change("thing", "again"))
    assert database.revision == 2


async def test_a_read_whose_connection_is_killed_says_so_and_the_next_one_works(
    database: Database, postgres_dsn: str
) -> None:
    def read(connection: object) -> None:
        execute = connection.execute  # type: ignore[attr-defined]
        kill(postgres_dsn, execute(OWN_PID).scalar_one())
        execute(NAMES).all()

    with pytest.raises(StoreUnreachable):
        await database.read(read)
    assert await names(database) == []


async def test_a_write_whose_connection_is_killed_before_the_commit_leaves_nothing(
    database: Database, postgres_dsn: str
) -> None:
    def write(transaction: Transaction) -> None:
        put(transaction)
        kill(postgres_dsn, transaction.execute(OWN_PID).scalar_one())
        transaction.execute(NAMES).all()

    with pytest.raises(StoreUnreachable):
        await database.write(write)
    assert await names(database) == []
    await database.write(put)
    assert (await names(database), database.revision) == (["mine"], 1)


async def test_a_commit_whose_connection_is_killed_is_of_unknown_outcome_and_not_repeated(
    database: Database, postgres_dsn: str
) -> None:
    ran: list[str] = []

    def kill_at_commit(transaction: Transaction) -> None:
        ran.append("b")
        pid = transaction.execute(OWN_PID).scalar_one()
        kill(postgres_dsn, pid)

    with pytest.raises(OutcomeUnknown, match="not known whether the change was made; look before"):
        await database.write(kill_at_commit)
    assert ran == ["b"]


async def test_none_of_a_group_whose_commit_is_of_unknown_outcome_is_repeated(
    database: Database, postgres_dsn: str
) -> None:
    ran: list[int] = []

    def last(transaction: Transaction) -> None:
        kill(postgres_dsn, transaction.execute(OWN_PID).scalar_one())

    works = [lambda _, n=n: ran.append(n) for n in range(3)]
    outcomes = await asyncio.gather(
        *(database.write(work) for work in [*works, last]), return_exceptions=True
    )
    unknown = [each for each in outcomes if isinstance(each, OutcomeUnknown)]
    assert unknown
    assert sorted(ran) == sorted(set(ran))


async def test_a_statement_that_takes_too_long_is_ended(database: Database) -> None:
    slow = text("SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(60)")
    with pytest.raises(StoreSlow, match="a statement took too long"):
        await database.write(lambda t: t.connection.exec_driver_sql(slow.text))
    await database.write(put)


async def test_a_writer_that_is_stuck_in_its_transaction_is_thrown_out(
    database: Database, others: Callable[[], Awaitable[Database]], postgres_dsn: str
) -> None:
    """Else it would keep the lock, and no server could write."""

    def stuck(transaction: Transaction) -> None:
        put(transaction)
        transaction.connection.exec_driver_sql(
            "SET LOCAL idle_in_transaction_session_timeout = '50ms'"
        )
        pid = transaction.execute(OWN_PID).scalar_one()
        while run(postgres_dsn, f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"):
            pass

    other = await others()
    with pytest.raises((StoreSlow, OutcomeUnknown)):
        await database.write(stuck)
    await other.write(put)
    assert await names(database) == ["mine"]


@contextmanager
def paused(server: PostgresServer) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


async def test_while_the_server_is_down_calls_fail_fast_and_afterwards_go_on_by_themselves(
    postgres_pair: Pair, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = postgres_pair.primary
    database = await Database.open(PostgresTarget.of(server.url()), clock)
    await database.write(put)
    await asyncio.to_thread(server.stop)
    begun = time.monotonic()
    for _ in range(50):
        with pytest.raises(StoreUnreachable, match="check that it runs"):
            await names(database)
        with pytest.raises(StoreUnreachable):
            await database.write(put)
    assert time.monotonic() - begun < 30
    await asyncio.to_thread(server.start)
    await until(lambda: names(database))
    await until(lambda: database.write(lambda t: t.change("thing", "later")))
    assert database.revision == 2
    assert database.history == 0
    await database.close()
    assert "the database cannot be watched" in caplog.text


async def test_a_replica_that_was_promoted_is_gone_on_with(
    postgres_pair: Pair, clock: FakeClock
) -> None:
    pair = postgres_pair
    await asyncio.to_thread(pair.synchronous)
    database = await Database.open(PostgresTarget.of(pair.dsn()), clock)
    reader = FeedReader(FeedStore(database), SystemClock())  # it sleeps after a failure
    await reader.load()
    running = asyncio.create_task(reader.run())
    (kept,) = await EntryStore(database).create_many([entry("kept")])
    assert isinstance(kept, Entry)
    await asyncio.to_thread(pair.replica.execute, "ALTER SYSTEM RESET synchronous_standby_names")
    await asyncio.to_thread(pair.fail_over)
    await until(lambda: database.write(lambda t: t.change("thing", "later")))
    await database.wait_beyond(1)
    assert (await EntryStore(database).get(kept.id)) == kept
    await reader.caught_up()
    assert reader.entries.get(kept.id) == kept
    running.cancel()
    await database.close()


async def test_a_replica_that_lacks_the_last_commits_makes_everything_read_anew(
    postgres_pair: Pair, clock: FakeClock
) -> None:
    pair = postgres_pair
    database = await Database.open(PostgresTarget.of(pair.dsn()), clock)
    reader = FeedReader(FeedStore(database), SystemClock())  # it sleeps after a failure
    await reader.load()
    running = asyncio.create_task(reader.run())
    (kept,) = await EntryStore(database).create_many([entry("kept")])
    assert isinstance(kept, Entry)
    await asyncio.to_thread(pair.caught_up)
    await asyncio.to_thread(pair.replica.stop)
    lost = await EntryStore(database).create_many([entry("lost"), entry("too")])
    await reader.caught_up()
    assert len(reader.entries) == 3
    assert isinstance(lost[0], Entry)
    stuck = asyncio.create_task(reader.caught_up(database.revision + 5))
    await asyncio.to_thread(pair.primary.kill)
    await asyncio.to_thread(pair.replica.start)
    await asyncio.to_thread(pair.replica.promote)
    await until(lambda: EntryStore(database).create_many([entry("new")]))
    await stuck  # nobody waits for what the lost feed would have had
    await reader.caught_up()
    assert {each.spiffe_id.path for each in reader.entries} == {"/kept", "/new"}
    assert reader.entries.get(lost[0].id) is None
    assert database.history >= 1
    running.cancel()
    await database.close()


async def test_a_server_that_hangs_is_given_up_on(postgres_pair: Pair, clock: FakeClock) -> None:
    """It is connected and takes what is sent, but never answers: no timeout of its own helps."""
    server = postgres_pair.primary
    database = await Database.open(PostgresTarget.of(server.url()), clock)
    begun = time.monotonic()
    with paused(server):
        with pytest.raises(StoreUnreachable, match=r"no answer for 20 seconds|timeout"):
            await names(database)
        assert time.monotonic() - begun < 45
    await until(lambda: names(database))
    await database.close()
