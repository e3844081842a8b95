"""What two servers on one database have in memory, and what they do to it at the same time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from finial.server.datastore.agents import AgentStore
from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.errors import StoreUnreachable
from finial.server.datastore.feed import Delta, FeedMark, FeedStore
from finial.server.datastore.issued import IssuedStore
from finial.server.datastore.postgres import PostgresTarget
from finial.server.datastore.tokens import TokenStore
from finial.server.registry.agents import AgentVerdict, check_agent
from finial.server.registry.feed import AGREEMENT_SECONDS, FeedReader, NotAgreed
from finial.server.registry.model import Entry, JoinToken
from finial.server.registry.pruning import Pruner
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock, settle
from tests.server.datastore.postgres.conftest import run
from tests.server.registry.examples import DOMAIN, NODE, agent, entry

NOW = 1_800_000_000


@dataclass
class Node:
    """A server, as far as it has to do with the database."""

    database: Database
    reader: FeedReader

    @property
    def entries(self) -> EntryStore:
        return EntryStore(self.database)

    @property
    def agents(self) -> AgentStore:
        return AgentStore(self.database)

    @property
    def bundles(self) -> BundleStore:
        return BundleStore(self.database)

    @property
    def tokens(self) -> TokenStore:
        return TokenStore(self.database)

    def pruner(self, clock: FakeClock) -> Pruner:
        issued, feed = IssuedStore(self.database), FeedStore(self.database)
        return Pruner(clock, self.entries, self.tokens, issued, feed)


Two = tuple[Node, Node]


@asynccontextmanager
async def node_on(dsn: str, clock: FakeClock) -> AsyncIterator[Node]:
    database = await Database.open(PostgresTarget.of(dsn), clock)
    reader = FeedReader(FeedStore(database), clock)
    await reader.load()
    following = asyncio.ensure_future(reader.run())
    yield Node(database, reader)
    following.cancel()
    await database.close()


@pytest.fixture
async def two(postgres_dsn: str, clock: FakeClock) -> AsyncIterator[Two]:
    async with node_on(postgres_dsn, clock) as one, node_on(postgres_dsn, clock) as other:
        yield one, other


async def at_once(*works: Coroutine[Any, Any, Any]) -> list[Any]:
    return list(await asyncio.gather(*works))


async def test_whoever_asks_for_agreement_finds_what_another_server_has_committed(
    two: Two,
) -> None:
    one, other = two
    for number in range(20):
        (made,) = await one.entries.create_many([entry(f"w{number}")])
        assert isinstance(made, Entry)
        await other.reader.agreed()
        assert other.reader.entries.get(made.id) == made


async def test_a_renewal_that_one_server_promotes_is_the_only_serial_at_the_other(
    two: Two,
) -> None:
    one, other = two
    await one.agents.upsert_attested(agent(serial="11"))
    await other.agents.set_new_serial(NODE, "11", "12", NOW + 3600)
    await one.reader.agreed()
    assert check_agent(one.reader.agents.get(NODE), "12", NOW) is AgentVerdict.PROMOTE
    await one.agents.promote_new_serial(NODE, "12")
    await other.reader.agreed()
    found = other.reader.agents.get(NODE)
    assert check_agent(found, "12", NOW) is AgentVerdict.OK
    assert check_agent(found, "11", NOW) is AgentVerdict.NOT_ACTIVE


async def test_renewals_at_two_servers_leave_one_record_that_both_have(two: Two) -> None:
    one, other = two
    await one.agents.upsert_attested(agent(serial="11"))
    for number in range(20, 60, 2):
        await at_once(
            one.agents.set_new_serial(NODE, "11", str(number), NOW + number),
            other.agents.set_new_serial(NODE, "11", str(number + 1), NOW + number + 1),
        )
        await at_once(one.reader.agreed(), other.reader.agreed())
        found = one.reader.agents.get(NODE)
        assert found is not None
        assert found == other.reader.agents.get(NODE)
        assert int(found.new_serial_number) - number in {0, 1}
        assert found.new_expires_at == NOW + int(found.new_serial_number)


async def test_a_token_is_good_once_at_all_servers_together(two: Two) -> None:
    one, other = two
    for number in range(20):
        await one.tokens.create(JoinToken(f"t{number}", NOW + 60))
        taken = await at_once(
            *(node.tokens.consume(f"t{number}", NOW) for node in two for _ in range(5))
        )
        assert sum(each is not None for each in taken) == 1
    assert await other.tokens.prune_expired(NOW + 61) == 0


async def test_authorities_that_two_servers_add_and_remove_at_once_are_all_counted(
    two: Two,
) -> None:
    one, other = two
    roots = [FakeCa().bundle().x509_authorities[0] for _ in range(12)]
    await at_once(
        *(
            node.bundles.append(DOMAIN, [root])
            for node, half in zip(two, (roots[:6], roots[6:]), strict=True)
            for root in half
        )
    )
    await at_once(
        *(one.bundles.remove(DOMAIN, [root.authority_id]) for root in roots[:3]),
        *(other.bundles.remove(DOMAIN, [root.authority_id]) for root in roots[9:]),
    )
    await at_once(one.reader.agreed(), other.reader.agreed())
    for node in two:
        bundle = node.reader.bundles.bundle_for(DOMAIN)
        assert bundle is not None
        assert set(bundle.x509_authorities) == set(roots[3:9])
        assert bundle.sequence == len(roots) + 6


async def test_servers_that_prune_at_once_remove_everything_once(
    two: Two, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="finial")
    one, other = two
    expired = [replace(entry(f"w{number}"), expires_at=NOW - 1) for number in range(1200)]
    await one.entries.create_many(expired)
    await one.entries.create_many([entry("stays")])
    before = one.database.revision
    await at_once(one.pruner(clock).prune(), other.pruner(clock).prune())
    await at_once(one.reader.agreed(), other.reader.agreed())
    assert await one.entries.count() == 1
    for node in two:
        assert len(node.reader.entries) == 1
        assert node.reader.revision == before + len(expired)
    assert "cannot prune" not in caplog.messages


async def test_a_feed_that_went_back_is_read_anew_before_anybody_is_told_of_agreement(
    two: Two, postgres_dsn: str
) -> None:
    one, other = two
    await one.agents.upsert_attested(agent(serial="11"))
    kept = one.database.revision
    await one.agents.upsert_attested(agent(serial="12"))
    await other.reader.agreed()
    run(postgres_dsn, f"DELETE FROM change_feed WHERE revision > {kept}")
    run(postgres_dsn, "DELETE FROM agents")
    await other.reader.agreed()
    assert other.reader.revision == kept
    assert other.reader.agents.get(NODE) is None


class Told(FeedStore):
    """A feed that goes on, or back, as the test says; its questions wait to be answered."""

    def __init__(self, mark: FeedMark) -> None:
        self.mark = mark
        self.lives = 0
        self.moved = asyncio.Event()
        self.questions: list[asyncio.Future[FeedMark]] = []
        self.holds = False
        self.reads = asyncio.Event()
        self.reads.set()

    @property
    def committed(self) -> int:
        return self.mark.revision

    @property
    def history(self) -> int:
        return self.lives

    async def wait_beyond(self, revision: int, history: int | None = None) -> None:
        while self.mark.revision <= revision and self.lives == history:
            await self.moved.wait()

    async def newest(self) -> FeedMark:
        if not self.holds:
            return self.mark
        self.questions.append(asyncio.get_running_loop().create_future())
        return await self.questions[-1]

    async def everything(self) -> Delta:
        return Delta(self.mark.revision, full=True, mark=self.mark)

    async def tail(self, after: int, mark: FeedMark | None = None) -> Delta:  # noqa: ARG002
        delta = await self.everything()
        await self.reads.wait()
        return delta

    def goes_on_as(self, mark: FeedMark) -> None:
        self.mark = mark
        self.lives += 1
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()


@asynccontextmanager
async def following(feed: Told, clock: FakeClock) -> AsyncIterator[FeedReader]:
    reader = FeedReader(feed, clock)
    await reader.load()
    task = asyncio.ensure_future(reader.run())
    yield reader
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("later", [FeedMark("", 3), FeedMark("b", 3), FeedMark("b", 8)])
async def test_a_lower_revision_or_another_origin_means_to_wait_for_what_is_read_anew(
    clock: FakeClock, later: FeedMark
) -> None:
    feed = Told(FeedMark("" if not later.origin else "a", 8))
    async with following(feed, clock) as reader:
        feed.mark = later
        agreeing = asyncio.ensure_future(reader.agreed())
        await settle()
        assert not agreeing.done()
        feed.goes_on_as(later)
        await agreeing
        assert reader.revision == later.revision
        await settle()
        assert clock.sleepers == 0


async def test_agreement_that_does_not_come_in_time_is_an_error_of_the_store(
    clock: FakeClock,
) -> None:
    feed = Told(FeedMark("a", 8))
    async with following(feed, clock) as reader:
        feed.mark = FeedMark("b", 3)
        agreeing = asyncio.ensure_future(reader.agreed())
        await clock.advance(AGREEMENT_SECONDS - 1)
        assert not agreeing.done()
        await clock.advance(1)
        with pytest.raises(NotAgreed, match="try again"):
            await agreeing


async def test_an_own_write_to_a_feed_that_went_back_is_read_before_it_counts_as_there(
    clock: FakeClock,
) -> None:
    feed = Told(FeedMark("a", 8))
    async with following(feed, clock) as reader:
        feed.reads.clear()
        feed.goes_on_as(FeedMark("b", 3))
        waiting = asyncio.ensure_future(reader.caught_up())
        await settle()
        assert not waiting.done()
        feed.reads.set()
        await waiting
        assert reader.revision == 3


async def test_all_who_come_while_the_database_is_asked_share_one_later_question(
    clock: FakeClock,
) -> None:
    feed = Told(FeedMark("a", 8))
    feed.holds = True
    async with following(feed, clock) as reader:
        first = asyncio.ensure_future(reader.agreed())
        await settle()
        crowd = [asyncio.ensure_future(reader.agreed()) for _ in range(100)]
        await settle()
        assert len(feed.questions) == 1
        feed.questions[0].set_result(feed.mark)
        await settle()
        assert first.done()
        assert not any(each.done() for each in crowd)
        assert len(feed.questions) == 2
        feed.questions[1].set_result(feed.mark)
        await asyncio.gather(first, *crowd)
        assert len(feed.questions) == 2


async def test_one_who_goes_leaves_the_question_to_the_next(clock: FakeClock) -> None:
    feed = Told(FeedMark("a", 8))
    feed.holds = True
    async with following(feed, clock) as reader:
        first, second, third, fourth = (asyncio.ensure_future(reader.agreed()) for _ in range(4))
        await settle()
        second.cancel()  # it would have put the second question
        feed.questions[0].set_result(feed.mark)
        await settle()
        assert first.done()
        assert len(feed.questions) == 2
        third.cancel()  # it is putting it
        await settle()
        feed.questions[-1].set_result(feed.mark)
        await fourth
        assert len(feed.questions) == 3


async def test_a_question_that_fails_fails_once_for_all_who_wait_for_it(clock: FakeClock) -> None:
    feed = Told(FeedMark("a", 8))
    feed.holds = True
    async with following(feed, clock) as reader:
        asking = [asyncio.ensure_future(reader.agreed()) for _ in range(10)]
        await settle()
        for number in range(2):
            feed.questions[number].set_exception(StoreUnreachable("finial", "gone"))
            await settle()
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(each, StoreUnreachable) for each in outcomes)
        assert len(feed.questions) == 2
