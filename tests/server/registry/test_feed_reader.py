import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace

import pytest

from finial.attestors.selector import Selector
from finial.server.datastore.agents import AgentStore
from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.errors import StoreBusy
from finial.server.datastore.feed import Delta, FeedMark, FeedStore
from finial.server.registry.feed import FeedReader
from finial.server.registry.model import Entry
from finial.spiffe.bundle import Bundle
from tests.fakes.clock import FakeClock
from tests.server.registry.examples import DOMAIN, NODE, agent, entry


@pytest.fixture
async def reader(database: Database, clock: FakeClock) -> AsyncIterator[FeedReader]:
    made = FeedReader(FeedStore(database), clock)
    await made.load()
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def create(database: Database, *names: str) -> list[Entry]:
    outcomes = await EntryStore(database).create_many([entry(name) for name in names])
    return [outcome for outcome in outcomes if isinstance(outcome, Entry)]


async def test_whoever_wrote_and_waits_reads_the_own_write(
    database: Database, reader: FeedReader
) -> None:
    (made,) = await create(database, "a")
    await reader.caught_up()
    assert reader.entries.get(made.id) == made
    assert reader.entries.authorized(NODE) == (made,)
    await EntryStore(database).delete_many([made.id])
    await reader.caught_up(database.revision)
    assert reader.entries.authorized(NODE) == ()


async def test_agents_and_bundles_follow_too(database: Database, reader: FeedReader) -> None:
    agents = AgentStore(database)
    made = await agents.upsert_attested(agent())
    await BundleStore(database).put(Bundle(DOMAIN))
    await reader.caught_up()
    assert reader.agents.get(NODE) == made
    assert reader.bundles.bundle_for(DOMAIN) == Bundle(DOMAIN)
    assert reader.bundles.all() == (Bundle(DOMAIN),)
    banned = await agents.ban(NODE)
    await reader.caught_up()
    assert reader.agents.get(NODE) == banned
    await agents.delete(NODE)
    await reader.caught_up()
    assert reader.agents.get(NODE) is None


async def test_what_is_kept_for_an_agent_goes_with_it(
    database: Database, reader: FeedReader
) -> None:
    agents = AgentStore(database)
    await agents.upsert_attested(agent())
    await reader.caught_up()
    reader.entries.view(NODE, (Selector("k8s", "ns:x"),))
    await agents.delete(NODE)
    await reader.caught_up()
    assert not reader.entries._views


async def test_many_writers_at_once_all_read_their_own_writes(
    database: Database, reader: FeedReader
) -> None:
    async def write(number: int) -> bool:
        (made,) = await create(database, f"w{number}")
        await reader.caught_up()
        return reader.entries.get(made.id) == made

    assert all(await asyncio.gather(*(write(number) for number in range(100))))
    assert len(reader.entries) == 100


async def test_a_reader_that_starts_later_has_everything(
    database: Database, clock: FakeClock
) -> None:
    made = await create(database, "a", "b")
    late = FeedReader(FeedStore(database), clock)
    assert late.revision == -1
    await late.load()
    assert late.revision == database.revision
    assert list(late.entries) == made


async def test_a_reader_behind_the_retention_resynchronises_in_full(
    database: Database, clock: FakeClock
) -> None:
    feed = FeedStore(database, keep_rows=1)
    await AgentStore(database).upsert_attested(agent())
    first, second = await create(database, "a", "b")
    late = FeedReader(feed, clock)
    await late.load()
    unchanged = late.entries.get(second.id)
    late.entries.view(NODE)
    told: list[frozenset[str] | None] = []
    late.subscribe(told.append)
    await EntryStore(database).delete_many([first.id])
    await AgentStore(database).delete(NODE)
    (third,) = await create(database, "c")
    await feed.prune(clock.time())
    running = asyncio.create_task(late.run())
    await late.caught_up()
    assert list(late.entries) == [second, third]
    assert late.entries.get(second.id) is unchanged
    assert late.agents.get(NODE) is None
    assert not late.entries._views
    assert told[0] is None  # anybody may have lost anything
    running.cancel()


async def test_listeners_are_told_whose_rights_a_change_can_have_lessened(
    database: Database, reader: FeedReader
) -> None:
    told: list[frozenset[str] | None] = []
    reader.subscribe(told.append)
    entries, agents = EntryStore(database), AgentStore(database)

    async def after(change: Awaitable[object]) -> set[str] | None:
        told.clear()
        await change
        await reader.caught_up()
        (concerned,) = told
        return None if concerned is None else set(concerned)

    wanted = [entry("plain"), replace(entry("a"), admin=True), replace(entry("d"), downstream=True)]
    assert await after(entries.create_many(wanted)) == set()
    by_name = {each.spiffe_id.path: each for each in reader.entries}
    assert await after(entries.delete_many([by_name["/plain"].id])) == set()
    demoted = replace(by_name["/a"], admin=False)
    assert await after(entries.update_many([(demoted, None)])) == {demoted.spiffe_id.uri}
    gone = by_name["/d"]
    assert await after(entries.delete_many([gone.id])) == {gone.spiffe_id.uri}
    assert await after(agents.upsert_attested(agent())) == {NODE.uri}
    assert await after(agents.ban(NODE)) == {NODE.uri}
    assert await after(agents.delete(NODE)) == {NODE.uri}
    assert await after(BundleStore(database).put(Bundle(DOMAIN))) is None


async def test_a_change_wakes_whoever_waits_for_one(database: Database, reader: FeedReader) -> None:
    waiting = asyncio.create_task(reader.next_change(reader.revision))
    await asyncio.sleep(0)
    await create(database, "a")
    assert await waiting == 1


async def test_a_reader_with_nothing_to_read_uses_no_processor(reader: FeedReader) -> None:
    assert reader.revision == 0
    before = time.process_time()
    await asyncio.sleep(0.3)
    assert time.process_time() - before < 0.05


async def test_a_database_that_fails_is_asked_again(
    database: Database, reader: FeedReader, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(FeedStore):
        failed = False

        async def tail(self, after: int, mark: FeedMark | None = None) -> Delta:
            if not self.failed:
                self.failed = True
                raise StoreBusy("datastore.sqlite3")
            return await super().tail(after, mark)

    shaky = FeedReader(Failing(database), clock)
    await shaky.load()
    running = asyncio.create_task(shaky.run())
    (made,) = await create(database, "a")
    await reader.caught_up()
    await clock.advance(1)
    await shaky.caught_up()
    assert shaky.entries.get(made.id) == made
    assert "cannot read the change feed" in caplog.text
    running.cancel()
