import asyncio
from dataclasses import replace

from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.feed import FeedStore
from finial.server.datastore.issued import IssuedStore
from finial.server.datastore.tokens import TokenStore
from finial.server.registry.model import Entry, IssuedSvid, JoinToken
from finial.server.registry.pruning import Pruner
from tests.fakes.clock import FakeClock
from tests.server.registry.examples import entry

NOW = 1_800_000_000


async def test_what_expires_is_gone_after_the_next_five_minutes_and_not_before(
    database: Database, clock: FakeClock
) -> None:
    entries, tokens = EntryStore(database), TokenStore(database)
    issued, feed = IssuedStore(database), FeedStore(database, keep_rows=1)
    (made,) = await entries.create_many([replace(entry("a"), expires_at=NOW + 10)])
    assert isinstance(made, Entry)
    await tokens.create(JoinToken("t", NOW + 10))
    svid = IssuedSvid(
        kind="x509", serial_or_jti="1", spiffe_id="", expires_at=NOW + 10, issued_at=NOW
    )
    await issued.record([svid])

    pruner = Pruner(clock, entries, tokens, issued, feed)
    running = asyncio.create_task(pruner.run())
    await clock.advance(299)
    assert await entries.get(made.id) == made
    await clock.advance(2)
    await pruner.prune()
    assert await entries.get(made.id) is None
    assert await tokens.consume("t", clock.time()) is None
    assert await issued.count() == 0
    running.cancel()


async def test_more_than_one_portion_is_pruned_at_a_time(
    database: Database, clock: FakeClock
) -> None:
    entries = EntryStore(database)
    await entries.create_many(
        [replace(entry(f"w{number}"), expires_at=NOW - 1) for number in range(2500)]
    )
    pruner = Pruner(
        clock, entries, TokenStore(database), IssuedStore(database), FeedStore(database)
    )
    await pruner.prune()
    assert await entries.count() == 0
