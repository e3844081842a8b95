"""Two servers on one database: in which order their changes are seen."""

import asyncio
import threading

import pytest

from finial.server.datastore.agents import AgentStore
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.feed import FeedStore
from finial.server.datastore.issued import IssuedStore
from finial.server.datastore.tokens import TokenStore
from finial.server.datastore.transaction import Transaction
from finial.server.registry.errors import SimilarEntryExists, TokenExists
from finial.server.registry.feed import FeedReader
from finial.server.registry.model import Entry, IssuedSvid, JoinToken
from tests.fakes.clock import FakeClock
from tests.server.datastore.postgres.conftest import run
from tests.server.registry.examples import agent, entry

WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND wait_event = 'advisory' AND datname = current_database()
"""


def wait_for_the_lock(dsn: str) -> None:
    """Return once somebody waits for it."""
    while run(dsn, WAITING) == [(0,)]:
        pass


async def test_a_writer_waits_for_the_other_and_takes_the_next_revision(
    database: Database, other: Database, postgres_dsn: str
) -> None:
    changed, go_on = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> int:
        at = transaction.change("thing", "first")
        changed.set()
        assert go_on.wait(30)
        return at

    first = asyncio.create_task(database.write(slow))
    await asyncio.to_thread(changed.wait, 30)
    second = asyncio.create_task(other.write(lambda t: t.change("thing", "second")))
    await asyncio.to_thread(wait_for_the_lock, postgres_dsn)
    assert not second.done()
    assert (await FeedStore(other).tail(0)).revision == 0  # nothing beyond what is not committed
    go_on.set()
    assert (await first, await second) == (1, 2)


async def test_a_writer_that_gives_up_leaves_its_revision_to_the_next(
    database: Database, other: Database, postgres_dsn: str
) -> None:
    changed, go_on = threading.Event(), threading.Event()

    def failing(transaction: Transaction) -> None:
        transaction.change("thing", "lost")
        changed.set()
        assert go_on.wait(30)
        raise LookupError

    first = asyncio.create_task(database.write(failing))
    await asyncio.to_thread(changed.wait, 30)
    second = asyncio.create_task(other.write(lambda t: t.change("thing", "kept")))
    await asyncio.to_thread(wait_for_the_lock, postgres_dsn)
    go_on.set()
    with pytest.raises(LookupError):
        await first
    assert await second == 1


async def test_records_of_issued_svids_do_not_wait_for_a_writer(
    database: Database, other: Database
) -> None:
    changed, go_on = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> int:
        changed.set()
        assert go_on.wait(30)
        return transaction.change("thing", "x")

    writing = asyncio.create_task(other.write(slow))
    await asyncio.to_thread(changed.wait, 30)
    issued = IssuedStore(database)
    svid = IssuedSvid(
        kind="x509",
        serial_or_jti="1",
        spiffe_id="spiffe://example.org/a",
        expires_at=2_000_000_000,
        issued_at=1,
    )
    await issued.record([svid])
    assert await issued.count() == 1
    assert not writing.done()
    go_on.set()
    await writing


async def test_of_two_servers_that_make_the_same_entry_one_is_told_of_the_others(
    database: Database, other: Database
) -> None:
    for number in range(5):
        wanted = entry(f"same-{number}")
        outcomes = await asyncio.gather(
            *(EntryStore(each).create_many([wanted]) for each in (database, other))
        )
        (made,) = (each for (each,) in outcomes if isinstance(each, Entry))
        (refused,) = (each for (each,) in outcomes if isinstance(each, SimilarEntryExists))
        assert refused.existing == made


async def test_of_two_servers_one_makes_a_token_and_one_consumes_it(
    database: Database, other: Database, clock: FakeClock
) -> None:
    token = JoinToken("t", 2_000_000_000)
    stores = TokenStore(database), TokenStore(other)
    made = await asyncio.gather(*(each.create(token) for each in stores), return_exceptions=True)
    assert [type(each) for each in made if each is not None] == [TokenExists]
    got = await asyncio.gather(*(each.consume("t", clock.time()) for each in stores))
    assert sorted(got, key=str) == [JoinToken("t", 2_000_000_000), None]


async def test_two_servers_that_attest_one_agent_keep_one_record(
    database: Database, other: Database
) -> None:
    await asyncio.gather(*(AgentStore(each).upsert_attested(agent()) for each in (database, other)))
    assert await AgentStore(database).count() == 1


async def test_every_reader_ends_with_what_both_servers_wrote(
    database: Database, other: Database, clock: FakeClock
) -> None:
    readers = [FeedReader(FeedStore(each), clock) for each in (database, other)]
    for reader in readers:
        await reader.load()
    running = [asyncio.create_task(reader.run()) for reader in readers]

    async def write(to: Database, who: str) -> None:
        for number in range(20):
            (made,) = await EntryStore(to).create_many([entry(f"{who}-{number}")])
            assert isinstance(made, Entry)
            if number % 3 == 0:
                await EntryStore(to).delete_many([made.id])

    await asyncio.gather(write(database, "a"), write(other, "b"))
    latest = max(database.revision, other.revision)
    for reader in readers:
        await reader.caught_up(latest)
    assert len(readers[0].entries) == 26
    assert {e.id: e for e in readers[0].entries} == {e.id: e for e in readers[1].entries}
    for task in running:
        task.cancel()


async def test_a_commit_wakes_who_waits_at_another_server(
    database: Database, other: Database
) -> None:
    waiting = asyncio.create_task(other.wait_beyond(0))
    await database.write(lambda t: t.change("thing", "x"))
    await waiting
    assert other.revision == 1


async def test_a_commit_is_seen_also_when_no_notification_comes_through(
    database: Database, postgres_dsn: str
) -> None:
    silent = "INSERT INTO change_feed (revision, kind, key, at) VALUES (1, 'thing', 'x', 0)"
    await asyncio.to_thread(run, postgres_dsn, silent)
    await database.wait_beyond(0)
    assert database.revision == 1


async def test_what_anyone_else_says_in_the_feeds_channel_is_not_believed(
    database: Database, postgres_dsn: str
) -> None:
    for said in ("999", "nonsense", "9" * 40, ""):
        await asyncio.to_thread(run, postgres_dsn, f"NOTIFY finial_feed, '{said}'")
    await database.write(lambda t: t.change("thing", "x"))
    await database.wait_beyond(0)
    assert database.revision == 1
    assert database.history == 0


async def test_a_server_that_slept_through_the_retention_reads_everything_anew(
    database: Database, other: Database, clock: FakeClock
) -> None:
    sleeper = FeedReader(FeedStore(other), clock)
    await EntryStore(database).create_many([entry("before")])
    await sleeper.load()
    made = await EntryStore(database).create_many([entry(f"w{n}") for n in range(10)])
    assert isinstance(made[0], Entry)
    await EntryStore(database).delete_many([made[0].id])
    assert await FeedStore(database, keep_rows=2).prune(clock.time()) == 10
    running = asyncio.create_task(sleeper.run())
    await sleeper.caught_up(database.revision)
    assert len(sleeper.entries) == 10
    assert sleeper.entries.get(made[0].id) is None
    running.cancel()
