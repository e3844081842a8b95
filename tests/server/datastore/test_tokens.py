import asyncio

import pytest

from finial.server.datastore.agents import AgentStore
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.tokens import TokenStore
from finial.server.registry.errors import NotFound, SimilarEntryExists, TokenExists
from finial.server.registry.model import Entry, JoinToken
from tests.fakes.clock import FakeClock
from tests.server.registry.examples import NODE, agent, entry

TOKEN = JoinToken("n1", 1_800_000_600)


def alias() -> Entry:
    return entry("rack", f"spiffe_id:{NODE}", parent=NODE)


async def test_of_fifty_attempts_at_once_one_gets_the_token(
    database: Database, clock: FakeClock
) -> None:
    store = TokenStore(database)
    await store.create(TOKEN)
    attempts = await asyncio.gather(*(store.consume("n1", clock.time()) for _ in range(50)))
    assert [token for token in attempts if token] == [TOKEN]
    assert await store.consume("n1", clock.time()) is None


async def test_an_expired_token_is_consumed_and_says_that_it_expired(
    database: Database, clock: FakeClock
) -> None:
    store = TokenStore(database)
    await store.create(TOKEN)
    await clock.advance(601)
    token = await store.consume("n1", clock.time())
    assert token is not None
    assert token.expires_at < clock.time()
    assert await store.consume("n1", clock.time()) is None


async def test_a_token_that_never_was_is_none(database: Database, clock: FakeClock) -> None:
    assert await TokenStore(database).consume("nope", clock.time()) is None


async def test_a_token_of_the_same_value_is_refused_without_naming_it(database: Database) -> None:
    store = TokenStore(database)
    await store.create(JoinToken("secret-value", 1))
    with pytest.raises(TokenExists) as refused:
        await store.create(JoinToken("secret-value", 2))
    assert "secret-value" not in str(refused.value)


def test_a_token_shows_its_value_in_no_trace() -> None:
    assert "n1" not in repr(TOKEN)


async def test_a_token_with_an_agent_id_makes_the_alias_entry(database: Database) -> None:
    made = await TokenStore(database).create(TOKEN, alias())
    assert made is not None
    assert (await EntryStore(database).list()).items == (made,)


async def test_a_token_is_not_stored_when_its_alias_is_refused(
    database: Database, clock: FakeClock
) -> None:
    await EntryStore(database).create_many([alias()])
    store = TokenStore(database)
    with pytest.raises(SimilarEntryExists):
        await store.create(TOKEN, alias())
    assert await store.consume("n1", clock.time()) is None


async def test_deleting_a_join_token_agent_removes_its_alias_and_no_other_entry(
    database: Database,
) -> None:
    entries, agents = EntryStore(database), AgentStore(database)
    await TokenStore(database).create(TOKEN, alias())
    await agents.upsert_attested(agent())
    (other,) = await entries.create_many([entry("w", "unix:uid:0")])
    await agents.delete(NODE)
    assert (await entries.list()).items == (other,)
    with pytest.raises(NotFound):
        await agents.delete(NODE)


async def test_expired_tokens_are_pruned(database: Database, clock: FakeClock) -> None:
    store = TokenStore(database)
    now = int(clock.time())
    await store.create(JoinToken("old", now - 1))
    await store.create(JoinToken("due", now))
    assert await store.prune_expired(clock.time()) == 1
    assert await store.consume("old", clock.time()) is None
    assert await store.consume("due", clock.time()) is not None
