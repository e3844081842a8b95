from dataclasses import replace

import pytest
from sqlalchemy import update

from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.database import Database
from finial.server.datastore.errors import RowUnreadable
from finial.server.datastore.feed import FeedStore
from finial.server.datastore.relationships import Federated, RelationshipStore
from finial.server.datastore.schema import federation_relationships
from finial.server.registry.errors import InvalidPageToken, NotFound, RelationshipExists
from finial.spiffe.federation import BundleUrl, Relationship
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.ca import FakeCa

OTHER = TrustDomain("other.org")


def web(name: str = "other.org") -> Relationship:
    return Relationship.parse(trust_domain=name, url=f"https://{name}/b", profile="https_web")


def spiffe(name: str = "other.org") -> Relationship:
    return Relationship.parse(
        trust_domain=name,
        url=f"https://{name}:8443/",
        profile="https_spiffe",
        endpoint_id=f"spiffe://{name}/endpoint",
    )


@pytest.fixture
def store(database: Database) -> RelationshipStore:
    return RelationshipStore(database)


@pytest.mark.parametrize("relationship", [web(), spiffe()])
async def test_a_relationship_is_read_as_it_was_stored(
    store: RelationshipStore, relationship: Relationship
) -> None:
    assert await store.get(OTHER) is None
    assert await store.create(Federated(relationship)) == Federated(relationship)
    assert await store.get(OTHER) == Federated(relationship)


async def test_a_trust_domain_has_one_relationship_and_a_refused_one_leaves_no_bundle(
    store: RelationshipStore, database: Database
) -> None:
    await store.create(Federated(web()))
    revision = database.revision
    with pytest.raises(RelationshipExists, match=r"other\.org"):
        await store.create(Federated(spiffe(), FakeCa("other.org").bundle()))
    assert await store.get(OTHER) == Federated(web())
    assert database.revision == revision


async def test_a_bundle_that_comes_along_is_stored_with_it(
    store: RelationshipStore, database: Database
) -> None:
    bundles = BundleStore(database)
    first, second = (FakeCa("other.org").bundle() for _ in range(2))
    await store.create(Federated(spiffe(), first))
    assert await bundles.get(OTHER) == first
    assert await store.update(Federated(spiffe(), second), frozenset()) == Federated(
        spiffe(), second
    )
    assert await bundles.get(OTHER) == second


async def test_only_the_named_fields_are_overwritten_and_the_id_goes_with_the_profile(
    store: RelationshipStore,
) -> None:
    await store.create(Federated(spiffe()))
    elsewhere = replace(web(), url=BundleUrl("https://elsewhere/"))
    moved = replace(spiffe(), url=elsewhere.url)
    assert (await store.update(Federated(elsewhere), frozenset({"url"}))).relationship == moved
    assert (await store.get(OTHER)) == Federated(moved)
    await store.update(Federated(web()), frozenset({"profile"}))
    assert (await store.get(OTHER)) == Federated(elsewhere)
    await store.update(Federated(spiffe()))
    assert (await store.get(OTHER)) == Federated(spiffe())


async def test_what_changes_nothing_is_not_announced(
    store: RelationshipStore, database: Database
) -> None:
    await store.create(Federated(web()))
    revision = database.revision
    await store.update(Federated(web()))
    assert database.revision == revision


async def test_what_is_not_there_cannot_be_changed_or_removed(store: RelationshipStore) -> None:
    with pytest.raises(NotFound, match="relationship"):
        await store.update(Federated(web(), FakeCa("other.org").bundle()))
    with pytest.raises(NotFound, match="relationship"):
        await store.delete(OTHER)


async def test_the_bundle_stays_when_the_relationship_goes(
    store: RelationshipStore, database: Database
) -> None:
    bundle = FakeCa("other.org").bundle()
    await store.create(Federated(web(), bundle))
    await store.delete(OTHER)
    assert await store.get(OTHER) is None
    assert await BundleStore(database).get(OTHER) == bundle


async def test_a_walk_has_each_once_while_others_come_and_go(store: RelationshipStore) -> None:
    names = [f"d{number}.org" for number in range(4)]
    for name in names:
        await store.create(Federated(web(name)))
    first = await store.page(2, "")
    await store.delete(TrustDomain("d0.org"))
    await store.delete(TrustDomain("d1.org"))
    await store.create(Federated(web("d0.org")))
    second = await store.page(2, first.next_page_token)
    third = await store.page(2, second.next_page_token)
    end = await store.page(2, third.next_page_token)
    found = [
        each.relationship.trust_domain.name for p in (first, second, third) for each in p.items
    ]
    assert found == [*names, "d0.org"]
    assert (end.items, end.next_page_token) == ((), "")
    everything = await store.page(0, "")
    assert (len(everything.items), everything.next_page_token) == (3, "")


async def test_a_token_that_is_none_is_refused(store: RelationshipStore) -> None:
    with pytest.raises(InvalidPageToken):
        await store.page(2, "d0.org")


async def test_every_change_is_in_the_feed(store: RelationshipStore, database: Database) -> None:
    feed = FeedStore(database)
    await store.create(Federated(web()))
    await store.create(Federated(web("more.org")))
    everything = await feed.everything()
    assert everything.relationships == {"other.org": web(), "more.org": web("more.org")}
    await store.update(Federated(spiffe()))
    await store.delete(TrustDomain("more.org"))
    delta = await feed.tail(everything.revision)
    assert delta.relationships == {"other.org": spiffe(), "more.org": None}


async def test_a_row_that_nobody_here_wrote_is_left_out_and_named(
    store: RelationshipStore, database: Database
) -> None:
    feed = FeedStore(database)
    await store.create(Federated(web()))
    before = database.revision
    await store.create(Federated(web("more.org")))
    table = federation_relationships
    spoil = update(table).where(table.c.trust_domain == "more.org").values(profile="telnet")
    await database.write(lambda transaction: transaction.execute(spoil).rowcount)
    with pytest.raises(RowUnreadable):
        await feed.tail(before)
    delta = await feed.everything_readable()
    assert delta.relationships == {"other.org": web()}
    assert len(delta.left_out) == 1
    assert "relationship" in delta.left_out[0]
