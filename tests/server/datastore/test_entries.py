import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from finial.attestors.selector import Selector
from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.registry.errors import (
    EmptyFilter,
    EntryIdTaken,
    InvalidEntry,
    InvalidPageToken,
    NotFound,
    RegistryError,
    SimilarEntryExists,
    UnknownFederatedBundle,
)
from finial.server.registry.model import Entry, EntryFilter, Match
from finial.spiffe.bundle import Bundle
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.clock import FakeClock
from tests.server.registry.examples import OTHER_NODE, entry, selectors


@pytest.fixture
def store(database: Database) -> EntryStore:
    return EntryStore(database)


async def stored(store: EntryStore, *wanted: Entry) -> list[Entry]:
    outcomes = await store.create_many(wanted)
    assert all(isinstance(outcome, Entry) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Entry)]


async def test_a_created_entry_has_an_id_revision_0_and_its_time(
    store: EntryStore, clock: FakeClock
) -> None:
    wanted = replace(
        entry("w", "unix:uid:2", "unix:uid:1", "unix:uid:2"),
        x509_svid_ttl=60,
        jwt_svid_ttl=30,
        admin=True,
        downstream=True,
        expires_at=1_900_000_000,
        dns_names=("b.example", "a.example"),
        hint='héllo\n"quoted"',
        disable_x509_svid_prefetch=True,
        jwt_svid_include_jti=True,
        revision_number=77,
        created_at=1,
    )
    (made,) = await stored(store, wanted)
    assert len(made.id) == 36
    assert made == replace(
        wanted,
        id=made.id,
        revision_number=0,
        created_at=int(clock.time()),
        row=made.row,
        selectors=selectors("unix:uid:1", "unix:uid:2"),
    )
    assert await store.get(made.id) == made


async def test_an_entry_that_is_not_there_is_none(store: EntryStore) -> None:
    assert await store.get("nope") is None


async def test_a_similar_entry_is_refused_and_shown_whatever_else_differs(
    store: EntryStore,
) -> None:
    (first,) = await stored(store, entry("w", "unix:uid:1", "unix:uid:2"))
    again = replace(entry("w", "unix:uid:2", "unix:uid:1"), id="own", x509_svid_ttl=9, hint="x")
    (outcome,) = await store.create_many([again])
    assert isinstance(outcome, SimilarEntryExists)
    assert outcome.existing == first


async def test_other_selectors_parent_or_id_are_not_similar(store: EntryStore) -> None:
    await stored(
        store,
        entry("w", "unix:uid:1"),
        entry("w", "unix:uid:1", "unix:uid:2"),
        entry("w", "unix:uid:1", parent=OTHER_NODE),
        entry("v", "unix:uid:1"),
    )


async def test_entries_of_one_batch_are_similar_to_each_other_and_the_rest_is_made(
    store: EntryStore,
) -> None:
    first, twin, other = await store.create_many([entry("a"), entry("a"), entry("b")])
    assert isinstance(twin, SimilarEntryExists)
    assert twin.existing == first
    assert isinstance(other, Entry)
    assert await store.count() == 2


async def test_of_many_callers_with_the_same_entry_at_once_one_makes_it(store: EntryStore) -> None:
    batches = await asyncio.gather(*(store.create_many([entry("a")]) for _ in range(30)))
    made = [outcome for (outcome,) in batches if isinstance(outcome, Entry)]
    refused = [outcome for (outcome,) in batches if isinstance(outcome, SimilarEntryExists)]
    assert len(made) == 1
    assert len(refused) == 29
    assert all(outcome.existing == made[0] for outcome in refused)


async def test_an_id_of_ones_own_is_taken_once(store: EntryStore) -> None:
    mine, twin = await store.create_many([entry("a", id="mine"), entry("b", id="mine")])
    assert isinstance(mine, Entry)
    assert mine.id == "mine"
    (later,) = await store.create_many([entry("c", id="mine")])
    assert isinstance(twin, EntryIdTaken)
    assert isinstance(later, EntryIdTaken)


async def test_a_rule_that_is_broken_refuses_that_item_only(store: EntryStore) -> None:
    bad, good = await store.create_many([replace(entry("a"), x509_svid_ttl=-1), entry("b")])
    assert isinstance(bad, InvalidEntry)
    assert isinstance(good, Entry)


async def test_a_federated_trust_domain_needs_a_stored_bundle(
    store: EntryStore, database: Database
) -> None:
    wanted = replace(entry("a"), federates_with=("one.org", "two.org"))
    await BundleStore(database).put(Bundle(TrustDomain("one.org")))
    (refused,) = await store.create_many([wanted])
    assert isinstance(refused, UnknownFederatedBundle)
    assert refused.trust_domain == "two.org"
    await BundleStore(database).put(Bundle(TrustDomain("two.org")))
    (made,) = await stored(store, wanted)
    (kept,) = await store.update_many([(made, None)])
    assert isinstance(kept, Entry)
    assert kept.federates_with == ("one.org", "two.org")
    (outcome,) = await store.update_many([(replace(made, federates_with=("three.org",)), None)])
    assert isinstance(outcome, UnknownFederatedBundle)


async def test_an_update_writes_the_named_fields_and_counts(store: EntryStore) -> None:
    (made,) = await stored(store, replace(entry("a"), hint="old"))
    wanted = replace(made, hint="new", x509_svid_ttl=5, created_at=1, revision_number=50)
    (updated,) = await store.update_many([(wanted, frozenset({"hint", "created_at"}))])
    assert updated == replace(made, hint="new", revision_number=1)
    (again,) = await store.update_many([(wanted, frozenset())])
    assert again == replace(made, hint="new", revision_number=2)
    assert await store.get(made.id) == again


async def test_an_update_of_everything_moves_the_entry_in_every_search(store: EntryStore) -> None:
    (made,) = await stored(store, entry("a", "unix:uid:1"))
    wanted = replace(entry("b", "unix:uid:2", parent=OTHER_NODE), id=made.id)
    await store.update_many([(wanted, None)])
    assert await store.count(EntryFilter(selectors=selectors("unix:uid:1"))) == 0
    assert await store.count(EntryFilter(selectors=selectors("unix:uid:2"))) == 1
    assert await store.count(EntryFilter(parent_id=OTHER_NODE, spiffe_id=wanted.spiffe_id)) == 1
    assert isinstance((await store.create_many([entry("a", "unix:uid:1")]))[0], Entry)
    assert isinstance((await store.create_many([replace(wanted, id="")]))[0], SimilarEntryExists)


async def test_an_update_may_make_two_entries_alike(store: EntryStore) -> None:
    first, second = await stored(store, entry("a"), entry("b"))
    (outcome,) = await store.update_many([(replace(second, spiffe_id=first.spiffe_id), None)])
    assert isinstance(outcome, Entry)
    (similar,) = await store.create_many([entry("a")])
    assert isinstance(similar, SimilarEntryExists)
    assert similar.existing.id == first.id


async def test_an_update_is_judged_as_the_entry_that_results(store: EntryStore) -> None:
    (made,) = await stored(store, entry("a", "unix:uid:0", "k8s:ns:x"))
    storing = (replace(made, store_svid=True), frozenset({"store_svid"}))
    unknown = (entry("b", id="nobody"), None)
    outcomes: list[Entry | RegistryError] = await store.update_many([storing, unknown])
    assert isinstance(outcomes[0], InvalidEntry)
    assert isinstance(outcomes[1], NotFound)
    assert await store.get(made.id) == made


async def test_one_entry_updated_twice_in_a_batch_ends_as_the_second_says(
    store: EntryStore,
) -> None:
    (made,) = await stored(store, entry("a"))
    first = (replace(made, hint="1", x509_svid_ttl=5), frozenset({"hint", "x509_svid_ttl"}))
    second = (replace(made, hint="2"), frozenset({"hint"}))
    await store.update_many([first, second])
    expected = replace(made, hint="2", x509_svid_ttl=5, revision_number=2)
    assert await store.get(made.id) == expected


async def test_a_deleted_entry_is_returned_once_and_gone_from_every_search(
    store: EntryStore,
) -> None:
    (made,) = await stored(store, entry("a", "unix:uid:1"))
    outcomes = await store.delete_many([made.id, "nobody", made.id])
    assert outcomes[0] == made
    assert isinstance(outcomes[1], NotFound)
    assert isinstance(outcomes[2], NotFound)
    assert await store.count(EntryFilter(selectors=selectors("unix:uid:1"))) == 0
    await stored(store, entry("a", "unix:uid:1"))


async def test_a_walk_by_pages_sees_each_entry_once_in_order_and_ends_with_an_empty_page(
    store: EntryStore,
) -> None:
    made = await stored(store, *(entry(f"w{n}") for n in range(5)))
    seen: list[Entry] = []
    token = ""
    sizes = []
    while True:
        page = await store.list(page_size=2, page_token=token)
        seen += page.items
        sizes.append(len(page.items))
        token = page.next_page_token
        if not token:
            break
        # What is behind or before the walk may come and go without disturbing it.
        await store.delete_many([seen[0].id])
    assert seen == made
    assert sizes == [2, 2, 1, 0]


async def test_without_a_page_size_everything_comes_and_no_token(store: EntryStore) -> None:
    made = await stored(store, *(entry(f"w{n}") for n in range(5)))
    for size in (0, -3):
        page = await store.list(page_size=size)
        assert page.items == tuple(made)
        assert page.next_page_token == ""


async def test_a_row_number_is_never_given_twice(store: EntryStore) -> None:
    first, second = await stored(store, entry("a"), entry("b"))
    await store.delete_many([second.id])
    (third,) = await stored(store, entry("c"))
    assert first.row < second.row < third.row


@pytest.mark.parametrize("token", ["abc", "-1", "1.5", " 1", "9" * 30, "١"])  # noqa: RUF001
async def test_a_page_token_that_is_no_number_is_refused(store: EntryStore, token: str) -> None:
    with pytest.raises(InvalidPageToken):
        await store.list(page_size=2, page_token=token)


HOLDS: dict[Match, Callable[[set[str], set[str]], bool]] = {
    Match.EXACT: lambda mine, wanted: mine == wanted,
    Match.SUBSET: lambda mine, wanted: mine <= wanted,
    Match.SUPERSET: lambda mine, wanted: mine >= wanted,
    Match.ANY: lambda mine, wanted: bool(mine & wanted),
}


def nonempty_subsets(members: tuple[str, ...]) -> list[tuple[str, ...]]:
    sizes = range(1, len(members) + 1)
    return [some for size in sizes for some in itertools.combinations(members, size)]


@pytest.mark.parametrize("match", list(Match))
async def test_a_selector_filter_matches_as_sets_do(store: EntryStore, match: Match) -> None:
    universe = ("unix:uid:1", "unix:uid:2", "k8s:uid:1", "unix:uid:3")
    for number, some in enumerate(nonempty_subsets(universe[:3])):
        await stored(store, entry(f"w{number}", *some))
    for wanted in nonempty_subsets(universe):
        found = await store.list(
            EntryFilter(selectors=selectors(*wanted, wanted[0]), selectors_match=match)
        )
        expected = {
            some for some in nonempty_subsets(universe[:3]) if HOLDS[match](set(some), set(wanted))
        }
        got = [frozenset(map(str, each.selectors)) for each in found.items]
        assert len(got) == len(set(got))
        assert set(got) == {frozenset(some) for some in expected}, wanted


@pytest.mark.parametrize("match", list(Match))
async def test_a_filter_of_very_many_selectors_is_answered(store: EntryStore, match: Match) -> None:
    many = [f"unix:uid:{number}" for number in range(3000)]
    await stored(store, entry("few", *many[:2]), entry("all", *many), entry("none", "k8s:ns:x"))
    wanted = EntryFilter(selectors=selectors(*many), selectors_match=match)
    found = [each.spiffe_id.path for each in (await store.list(wanted)).items]
    both = ["/few", "/all"]
    assert found == (both if match in {Match.SUBSET, Match.ANY} else ["/all"])


@pytest.mark.parametrize("match", list(Match))
async def test_a_federation_filter_matches_as_sets_do_and_never_an_empty_one(
    store: EntryStore, database: Database, match: Match
) -> None:
    domains = ("a.org", "b.org", "c.org")
    for name in domains:
        await BundleStore(database).put(Bundle(TrustDomain(name)))
    held = [(), *nonempty_subsets(domains[:2])]
    for number, some in enumerate(held):
        await stored(store, replace(entry(f"w{number}"), federates_with=some))
    for wanted in nonempty_subsets(domains):
        found = await store.list(EntryFilter(federates_with=wanted, federates_with_match=match))
        expected = {some for some in held if some and HOLDS[match](set(some), set(wanted))}
        assert {each.federates_with for each in found.items} == expected, wanted


async def test_filters_are_anded_and_counts_agree(store: EntryStore) -> None:
    await stored(
        store,
        replace(entry("a", "unix:uid:1"), hint="h"),
        replace(entry("a", "unix:uid:2"), hint="h", downstream=True),
        replace(entry("b", "unix:uid:2"), hint="h"),
    )
    one = EntryFilter(spiffe_id=entry("a").spiffe_id, selectors=selectors("unix:uid:2"), hint="h")
    for wanted, expected in [
        (one, 1),
        (EntryFilter(downstream=True), 1),
        (EntryFilter(downstream=False, hint=""), 3),
        (EntryFilter(hint="other"), 0),
    ]:
        assert await store.count(wanted) == len((await store.list(wanted)).items) == expected


async def test_a_set_filter_without_members_is_refused(store: EntryStore) -> None:
    for wanted in (EntryFilter(selectors=()), EntryFilter(federates_with=())):
        with pytest.raises(EmptyFilter):
            await store.list(wanted)


async def test_expired_entries_are_pruned_and_others_stay(
    store: EntryStore, clock: FakeClock
) -> None:
    now = int(clock.time())
    gone, due, never = await stored(
        store,
        replace(entry("a"), expires_at=now - 1),
        replace(entry("b"), expires_at=now),
        entry("c"),
    )
    assert await store.prune_expired(clock.time()) == 1
    assert await store.get(gone.id) is None
    assert (await store.list()).items == (due, never)


async def test_text_that_looks_like_sql_is_text(store: EntryStore) -> None:
    nasty = "x' OR '1'='1"
    (made,) = await stored(store, replace(entry("a"), hint=nasty))
    assert (await store.list(EntryFilter(hint=nasty))).items == (made,)
    assert await store.count(EntryFilter(selectors=(Selector("unix", nasty),))) == 0
