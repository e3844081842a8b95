from dataclasses import replace

import pytest

from finial.server.datastore.agents import AgentStore
from finial.server.datastore.database import Database
from finial.server.registry.errors import AgentBanned, EmptyFilter, NotFound
from finial.server.registry.model import AgentFilter, Match
from tests.server.registry.examples import NODE, OTHER_NODE, agent, selectors


@pytest.fixture
def store(database: Database) -> AgentStore:
    return AgentStore(database)


async def test_an_attested_agent_is_stored_and_found(store: AgentStore) -> None:
    made = await store.upsert_attested(agent(NODE, "11", "k8s:ns:x"))
    assert made == replace(agent(NODE, "11", "k8s:ns:x"), row=made.row)
    assert await store.get(NODE) == made
    assert await store.get(OTHER_NODE) is None


async def test_attesting_again_replaces_serial_and_selectors_and_ends_a_renewal(
    store: AgentStore,
) -> None:
    first = await store.upsert_attested(agent(NODE, "11", "k8s:ns:x"))
    await store.set_new_serial(NODE, "11", "12", 1_800_009_000)
    await store.set_version(NODE, "1.2.3")
    second = await store.upsert_attested(agent(NODE, "13", "k8s:ns:y"))
    expected = replace(agent(NODE, "13", "k8s:ns:y"), row=first.row, agent_version="1.2.3")
    assert second == expected == await store.get(NODE)
    by_old = AgentFilter(selectors=selectors("k8s:ns:x"))
    assert await store.count(by_old) == 0


async def test_both_serials_hold_until_the_new_one_is_used(store: AgentStore) -> None:
    await store.upsert_attested(agent(serial="11"))
    renewed = await store.set_new_serial(NODE, "11", "12", 1_800_009_000)
    assert (renewed.serial_number, renewed.new_serial_number) == ("11", "12")
    assert await store.promote_new_serial(NODE, "11") == renewed
    promoted = await store.promote_new_serial(NODE, "12")
    assert promoted == replace(
        renewed,
        serial_number="12",
        expires_at=1_800_009_000,
        new_serial_number="",
        new_expires_at=0,
    )
    assert await store.get(NODE) == promoted


@pytest.mark.parametrize("current", ["10", "12", ""])
async def test_only_the_bearer_of_the_present_serial_renews(
    store: AgentStore, current: str
) -> None:
    made = await store.upsert_attested(agent(serial="11"))
    with pytest.raises(NotFound):
        await store.set_new_serial(NODE, current, "66", 1_800_009_000)
    assert await store.get(NODE) == made


async def test_an_agent_without_renewal_is_not_promoted_by_an_empty_serial(
    store: AgentStore,
) -> None:
    made = await store.upsert_attested(agent(serial="11"))
    assert await store.promote_new_serial(NODE, "") == made


async def test_a_banned_agent_has_no_serial_and_may_not_attest_or_renew(store: AgentStore) -> None:
    await store.upsert_attested(agent())
    await store.set_new_serial(NODE, "11", "12", 1_800_009_000)
    banned = await store.ban(NODE)
    assert banned.banned
    assert banned.new_serial_number == ""
    with pytest.raises(AgentBanned):
        await store.upsert_attested(agent(serial="13"))
    with pytest.raises(AgentBanned):
        await store.set_new_serial(NODE, "11", "13", 1)
    assert await store.get(NODE) == banned


async def test_a_deleted_agent_may_attest_again_even_if_it_was_banned(store: AgentStore) -> None:
    await store.upsert_attested(agent(NODE, "11", "k8s:ns:x"))
    await store.ban(NODE)
    await store.delete(NODE)
    assert await store.get(NODE) is None
    assert not (await store.upsert_attested(agent(NODE, "14"))).banned
    assert await store.count(AgentFilter(selectors=selectors("k8s:ns:x"))) == 0


async def test_an_unknown_agent_is_not_found(store: AgentStore) -> None:
    for call in (
        store.ban(NODE),
        store.delete(NODE),
        store.set_version(NODE, "1"),
        store.set_new_serial(NODE, "1", "2", 1),
        store.promote_new_serial(NODE, "1"),
    ):
        with pytest.raises(NotFound, match="agent not found"):
            await call


async def test_a_version_that_is_the_same_writes_nothing(
    store: AgentStore, database: Database
) -> None:
    await store.upsert_attested(agent())
    await store.set_version(NODE, "1.2.3")
    before = database.revision
    await store.set_version(NODE, "1.2.3")
    assert database.revision == before


async def test_agents_are_filtered_listed_and_counted(store: AgentStore) -> None:
    first = await store.upsert_attested(agent(NODE, "11", "k8s:ns:x", "k8s:ns:y", expires_at=100))
    second = await store.upsert_attested(
        replace(
            agent(OTHER_NODE, "12", "k8s:ns:x", expires_at=200),
            attestation_type="x509pop",
            can_reattest=True,
        )
    )
    x = selectors("k8s:ns:x")
    for wanted, expected in [
        (AgentFilter(), (first, second)),
        (AgentFilter(attestation_type="x509pop"), (second,)),
        (AgentFilter(can_reattest=False), (first,)),
        (AgentFilter(banned=True), ()),
        (AgentFilter(banned=False), (first, second)),
        (AgentFilter(expires_before=200), (first,)),
        (AgentFilter(selectors=x), (second,)),
        (AgentFilter(selectors=x, selectors_match=Match.SUPERSET), (first, second)),
        (AgentFilter(selectors=x, attestation_type="join_token"), ()),
    ]:
        assert (await store.list(wanted)).items == expected, wanted
        assert await store.count(wanted) == len(expected)
    page = await store.list(page_size=1)
    assert page.items == (first,)
    assert (await store.list(page_size=1, page_token=page.next_page_token)).items == (second,)
    with pytest.raises(EmptyFilter):
        await store.list(AgentFilter(selectors=()))
