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
from finial.server.datastore.feed import FeedStore
from finial.server.datastore.issued import IssuedStore
from finial.server.datastore.postgres import PostgresTarget
from finial.server.datastore.tokens import TokenStore
from finial.server.registry.agents import AgentVerdict, check_agent
from finial.server.registry.feed import FeedReader
from finial.server.registry.model import Entry, JoinToken
from finial.server.registry.pruning import Pruner
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock
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
