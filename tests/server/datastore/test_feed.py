from finial.server.datastore.agents import AgentStore
from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.feed import Delta, FeedMark, FeedStore
from finial.server.registry.model import Entry
from finial.spiffe.bundle import Bundle
from tests.fakes.clock import FakeClock
from tests.server.datastore.conftest import Where
from tests.server.registry.examples import DOMAIN, NODE, agent, entry


async def make(database: Database, *names: str) -> list[Entry]:
    outcomes = await EntryStore(database).create_many([entry(name) for name in names])
    return [outcome for outcome in outcomes if isinstance(outcome, Entry)]


async def test_the_tail_has_what_changed_after_a_revision_as_it_is_now(database: Database) -> None:
    feed = FeedStore(database)
    first, second = await make(database, "a", "b")
    at = feed.committed
    await EntryStore(database).delete_many([first.id])
    attested = await AgentStore(database).upsert_attested(agent())
    await BundleStore(database).put(Bundle(DOMAIN))
    assert await feed.tail(at) == Delta(
        at + 3,
        entries={first.id: None},
        agents={NODE.uri: attested},
        bundles={DOMAIN.name: Bundle(DOMAIN)},
    )
    assert (await feed.tail(0)).entries == {first.id: None, second.id: second}
    assert await feed.tail(feed.committed) == Delta(feed.committed)


async def test_everything_is_one_moments_state(database: Database) -> None:
    feed = FeedStore(database)
    assert await feed.everything() == Delta(0, full=True)
    (made,) = await make(database, "a")
    assert await feed.everything() == Delta(feed.committed, full=True, entries={made.id: made})


async def test_a_very_long_tail_comes_in_parts(database: Database) -> None:
    feed = FeedStore(database)
    for batch in range(6):
        await make(database, *(f"w{batch}-{number}" for number in range(1000)))
    part = await feed.tail(0)
    assert part.revision == 5000
    assert len(part.entries) == 5000
    assert len((await feed.tail(part.revision)).entries) == 1000


async def test_a_reader_that_is_behind_the_retention_gets_everything(database: Database) -> None:
    feed = FeedStore(database, keep_rows=3)
    made = await make(database, *"abcdefgh")
    assert await feed.prune(0) == 5
    assert await feed.prune(0) == 0
    delta = await feed.tail(4)
    assert delta.full
    assert list(delta.entries.values()) == made
    assert not (await feed.tail(5)).full


async def test_old_rows_go_but_never_the_newest(database: Database, clock: FakeClock) -> None:
    feed = FeedStore(database, keep_seconds=100)
    await make(database, "a", "b")
    await clock.advance(60)
    await make(database, "c", "d")
    assert await feed.prune(clock.time() + 41) == 2
    await clock.advance(1000)
    assert await feed.prune(clock.time()) == 1
    assert (await feed.tail(0)).full


async def test_revisions_go_on_after_everything_was_pruned_and_the_database_reopened(
    database: Database, where: Where, clock: FakeClock
) -> None:
    await make(database, "a", "b")
    await FeedStore(database, keep_rows=0).prune(clock.time())
    at = database.revision
    await database.close()
    again = await Database.open(where, clock)
    assert again.revision == at
    (made,) = await make(again, "c")
    assert made.row == at + 1
    await again.close()


async def test_a_reader_of_another_feed_gets_everything_even_at_a_lower_revision(
    database: Database,
) -> None:
    feed = FeedStore(database)
    made = await make(database, "a", "b", "c")
    mark = (await feed.tail(0)).mark
    assert mark is not None
    assert await feed.tail(3, mark) == Delta(3)
    others = [
        mark._replace(key="another entry"),
        mark._replace(at=mark.at + 1),
        mark._replace(origin="another database"),
    ]
    for other in others:
        assert (await feed.tail(3, other)).full
    beyond = await feed.tail(7, FeedMark(mark.origin, 7, "entry", "lost", mark.at))
    assert (beyond.full, beyond.revision) == (True, 3)
    assert list(beyond.entries.values()) == made


async def test_a_reader_whose_last_row_was_pruned_goes_on_in_the_same_feed(
    database: Database, clock: FakeClock
) -> None:
    feed = FeedStore(database, keep_rows=1)
    await make(database, "a", "b")
    mark = (await feed.tail(0)).mark
    assert mark is not None
    (later,) = await make(database, "c")
    assert await feed.prune(clock.time()) == 2
    assert await feed.tail(2, mark) == Delta(3, entries={later.id: later})
    assert (await feed.tail(2, mark._replace(origin="another"))).full
