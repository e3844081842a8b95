from dataclasses import replace

import pytest

from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.federated_bundles import FederatedBundles, Federating
from finial.server.datastore.feed import FeedStore
from finial.server.registry.errors import (
    BundleExists,
    BundleInUse,
    KeyIdTaken,
    NotFound,
    UnknownFederatedBundle,
)
from finial.server.registry.model import Entry
from finial.spiffe.bundle import WitAuthority
from finial.spiffe.federation import Verdict
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.ca import FakeCa
from tests.server.registry.examples import DOMAIN, entry

OTHER = TrustDomain("other.org")
THIRD = TrustDomain("third.org")
CA = FakeCa("other.org")


@pytest.fixture
def store(database: Database) -> FederatedBundles:
    return FederatedBundles(database)


@pytest.fixture
def bundles(database: Database) -> BundleStore:
    return BundleStore(database)


async def test_a_bundle_is_created_once(store: FederatedBundles, bundles: BundleStore) -> None:
    assert await store.create(CA.bundle()) == CA.bundle()
    with pytest.raises(BundleExists):
        await store.create(CA.bundle(sequence=2))
    assert await bundles.get(OTHER) == CA.bundle()


async def test_only_the_named_fields_are_updated(
    store: FederatedBundles, bundles: BundleStore
) -> None:
    await store.create(CA.bundle())
    other = FakeCa("other.org").bundle(sequence=9, refresh_hint=60)
    updated = await store.update(other, frozenset({"sequence", "x509_authorities"}))
    assert updated == replace(CA.bundle(), sequence=9, x509_authorities=other.x509_authorities)
    assert await bundles.get(OTHER) == updated
    assert await store.update(other, frozenset()) == updated
    with pytest.raises(NotFound, match="bundle"):
        await store.update(FakeCa("third.org").bundle(), frozenset({"sequence"}))


async def test_a_fetched_bundle_is_taken_unless_it_is_older(
    store: FederatedBundles, bundles: BundleStore
) -> None:
    assert (await store.take(CA.bundle(sequence=5))).verdict is Verdict.TAKEN
    newer = FakeCa("other.org").bundle(sequence=6)
    assert (await store.take(newer)).verdict is Verdict.TAKEN
    outdated = await store.take(CA.bundle(sequence=5))
    assert (outdated.verdict, outdated.held.bundle) == (Verdict.OUTDATED, newer)
    assert await bundles.get(OTHER) == newer


async def test_what_an_operator_set_gives_way_to_what_is_fetched_next(
    store: FederatedBundles, bundles: BundleStore
) -> None:
    await store.take(CA.bundle(sequence=9))
    await bundles.put(CA.bundle(sequence=8))
    restored = FakeCa("other.org").bundle(sequence=2)
    assert (await store.take(restored)).verdict is Verdict.TAKEN
    assert (await store.take(CA.bundle(sequence=1))).verdict is Verdict.OUTDATED
    # Also when it is what was held.
    await bundles.put(restored)
    assert (await store.take(CA.bundle(sequence=1))).verdict is Verdict.TAKEN


async def test_what_is_fetched_again_is_not_announced(
    store: FederatedBundles, bundles: BundleStore, database: Database
) -> None:
    await bundles.put(CA.bundle())
    assert (await store.take(CA.bundle())).verdict is Verdict.UNCHANGED
    revision = database.revision
    assert (await store.take(CA.bundle())).verdict is Verdict.UNCHANGED
    assert database.revision == revision
    # Fetched by now, and no operator's any more.
    assert (await store.take(CA.bundle(sequence=0, refresh_hint=1))).verdict is Verdict.TAKEN


async def federating(database: Database) -> tuple[Entry, Entry]:
    """Store bundles of two domains, and two entries: with both, and with the other one."""
    for name in ("other.org", "third.org"):
        await BundleStore(database).put(FakeCa(name).bundle())
    both = replace(entry("both"), federates_with=("other.org", "third.org"))
    one = replace(entry("one"), federates_with=("third.org",))
    first, second = await EntryStore(database).create_many([both, one])
    assert isinstance(first, Entry)
    assert isinstance(second, Entry)
    return first, second


async def test_a_bundle_that_entries_federate_with_stays(
    store: FederatedBundles, bundles: BundleStore, database: Database
) -> None:
    both, _ = await federating(database)
    with pytest.raises(BundleInUse, match="federated with 2 registration entries"):
        await store.delete(THIRD, Federating.REFUSE)
    assert await bundles.get(THIRD) is not None
    await EntryStore(database).delete_many([both.id])
    await store.delete(OTHER, Federating.REFUSE)
    assert await bundles.get(OTHER) is None
    with pytest.raises(NotFound, match="bundle"):
        await store.delete(OTHER, Federating.REFUSE)


async def test_a_bundle_is_deleted_together_with_its_entries(
    store: FederatedBundles, bundles: BundleStore, database: Database
) -> None:
    both, one = await federating(database)
    before = database.revision
    await store.delete(OTHER, Federating.DELETE)
    assert (await EntryStore(database).list()).items == (one,)
    assert await bundles.get(OTHER) is None
    delta = await FeedStore(database).tail(before)
    assert (delta.entries, delta.bundles) == ({both.id: None}, {"other.org": None})


async def test_entries_that_are_dissociated_are_new_revisions(
    store: FederatedBundles, database: Database
) -> None:
    both, one = await federating(database)
    before = database.revision
    await store.delete(OTHER, Federating.DISSOCIATE)
    kept = replace(both, federates_with=("third.org",), revision_number=1)
    assert (await EntryStore(database).list()).items == (kept, one)
    assert (await FeedStore(database).tail(before)).entries == {both.id: kept}
    # The set that is searched has lost it, too.
    await BundleStore(database).put(CA.bundle())
    await store.delete(OTHER, Federating.REFUSE)


async def test_an_entry_federates_with_known_bundles_only(
    store: FederatedBundles, database: Database
) -> None:
    entries = EntryStore(database)
    both, one = await federating(database)
    wanted = replace(entry("more"), federates_with=("third.org", "none.org"))
    (refused,) = await entries.create_many([wanted])
    assert isinstance(refused, UnknownFederatedBundle)
    assert refused.trust_domain == "none.org"
    await store.delete(OTHER, Federating.DELETE)
    again = replace(one, federates_with=("other.org",))
    (refused,) = await entries.update_many([(again, None)])
    assert isinstance(refused, UnknownFederatedBundle)
    assert (await entries.list()).items == (one,)
    assert both not in (await entries.list()).items


async def test_a_walk_has_each_bundle_once_while_they_change(
    store: FederatedBundles, bundles: BundleStore
) -> None:
    for name in ("a.org", "b.org", "c.org", "d.org"):
        await bundles.put(FakeCa(name).bundle())
    first = await store.page(2, "")
    await store.delete(TrustDomain("b.org"), Federating.REFUSE)
    await bundles.put(FakeCa("c.org").bundle(sequence=2))
    await bundles.put(FakeCa("a.org").bundle(sequence=2))
    rest = await store.page(2, first.next_page_token)
    names = [bundle.trust_domain.name for bundle in (*first.items, *rest.items)]
    assert names == ["a.org", "b.org", "c.org", "d.org"]
    assert (await store.page(2, rest.next_page_token)).next_page_token == ""


async def test_a_nested_servers_key_is_published_once_under_its_own_id(
    bundles: BundleStore,
) -> None:
    await bundles.append(DOMAIN, FakeCa().bundle().x509_authorities)
    (key,) = FakeCa(key_id="nested").bundle().jwt_authorities
    made = await bundles.publish(DOMAIN, key)
    assert (made.jwt_authorities, made.sequence) == ((key,), 2)
    assert await bundles.publish(DOMAIN, replace(key, expires_at=5)) == made
    (stranger,) = FakeCa(key_id="nested").bundle().jwt_authorities
    with pytest.raises(KeyIdTaken, match='"nested" is in use for another key'):
        await bundles.publish(DOMAIN, stranger)
    with pytest.raises(KeyIdTaken, match='"nested" is in use for a key of another kind'):
        await bundles.publish(DOMAIN, WitAuthority.from_spki("nested", stranger.spki_der))
    assert await bundles.get(DOMAIN) == made
