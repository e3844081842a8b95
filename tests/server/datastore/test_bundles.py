from dataclasses import replace

import pytest

from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.database import Database
from finial.server.registry.errors import KeyIdTaken, NotFound
from finial.spiffe.bundle import Bundle, JwtAuthority, WitAuthority
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.ca import FakeCa
from tests.server.registry.examples import DOMAIN

NOW = 1_800_000_000


@pytest.fixture
def store(database: Database) -> BundleStore:
    return BundleStore(database)


def key(name: str, expires_at: int | None) -> JwtAuthority:
    return replace(FakeCa().bundle().jwt_authorities[0], key_id=name, expires_at=expires_at)


async def test_the_first_authority_makes_the_bundle_with_sequence_1(store: BundleStore) -> None:
    assert await store.get(DOMAIN) is None
    assert await store.count() == 0
    authorities = FakeCa().bundle().x509_authorities
    made = await store.append(DOMAIN, authorities, [key("a", NOW + 60)])
    assert (made.sequence, made.x509_authorities) == (1, authorities)
    assert await store.get(DOMAIN) == made
    assert await store.count() == 1


async def test_an_authority_that_is_there_already_changes_nothing(
    store: BundleStore, database: Database
) -> None:
    authorities, jwt = FakeCa().bundle().x509_authorities, key("a", NOW)
    made = await store.append(DOMAIN, authorities, [jwt])
    revision = database.revision
    assert await store.append(DOMAIN, authorities, [jwt]) == made
    assert database.revision == revision
    more = await store.append(DOMAIN, FakeCa().bundle().x509_authorities)
    assert (more.sequence, len(more.x509_authorities)) == (2, 2)


def wit_key(name: str) -> WitAuthority:
    return WitAuthority.from_spki(name, key(name, None).spki_der)


async def test_wit_authorities_come_and_go_by_key_id(store: BundleStore) -> None:
    await store.append(DOMAIN, FakeCa().bundle().x509_authorities, [key("j", None)])
    await store.append(DOMAIN, wit_authorities=[wit_key("a"), wit_key("b")])
    left = await store.remove(DOMAIN, wit_ids=["a", "j"])
    assert [each.key_id for each in left.wit_authorities] == ["b"]
    assert [each.key_id for each in left.jwt_authorities] == ["j"]
    assert await store.get(DOMAIN) == left


async def test_no_key_id_serves_a_jwt_and_a_wit_key(store: BundleStore) -> None:
    made = await store.append(DOMAIN, (), [key("j", None)], [wit_key("w")])
    for jwt, wit in (([], [wit_key("j")]), ([key("w", None)], []), ([key("n", 0)], [wit_key("n")])):
        with pytest.raises(KeyIdTaken):
            await store.append(DOMAIN, (), jwt, wit)
    assert await store.get(DOMAIN) == made


async def test_a_bundle_that_broke_that_rule_before_still_takes_other_keys(
    store: BundleStore,
) -> None:
    await store.put(
        Bundle(DOMAIN, jwt_authorities=(key("j", None),), wit_authorities=(wit_key("j"),))
    )
    made = await store.append(DOMAIN, (), [key("j", None), key("new", None)])
    assert [each.key_id for each in made.jwt_authorities] == ["j", "new"]


async def test_a_bundle_is_put_as_it_is_with_its_own_sequence(store: BundleStore) -> None:
    other = replace(
        FakeCa().bundle(), trust_domain=TrustDomain("other.org"), sequence=41, refresh_hint=300
    )
    tainted = replace(
        other, x509_authorities=tuple(replace(a, tainted=True) for a in other.x509_authorities)
    )
    await store.put(other)
    await store.put(tainted)
    found = await store.get(other.trust_domain)
    assert found == tainted
    assert found is not None
    assert found.x509_authorities[0].tainted
    assert await store.list() == [tainted]


async def test_expired_authorities_are_pruned_and_the_sequence_rises(store: BundleStore) -> None:
    old, new = FakeCa(not_before=NOW - 900, not_after=NOW - 100), FakeCa()
    authorities = (*old.bundle().x509_authorities, *new.bundle().x509_authorities)
    keys = [key("old", NOW - 100), key("new", NOW + 100), key("unknown", None)]
    await store.append(DOMAIN, authorities, keys)
    assert (await store.prune(DOMAIN, NOW - 200)).sequence == 1
    pruned = await store.prune(DOMAIN, NOW)
    assert pruned.sequence == 2
    assert pruned.x509_authorities == authorities[1:]
    assert [authority.key_id for authority in pruned.jwt_authorities] == ["new", "unknown"]


async def test_the_last_x509_authority_is_never_pruned(store: BundleStore) -> None:
    old = FakeCa(not_before=NOW - 900, not_after=NOW - 100).bundle()
    await store.append(DOMAIN, old.x509_authorities)
    assert (await store.prune(DOMAIN, NOW)).x509_authorities == old.x509_authorities


async def test_pruning_a_bundle_that_is_not_there_says_so(store: BundleStore) -> None:
    with pytest.raises(NotFound, match="bundle not found"):
        await store.prune(Bundle(DOMAIN).trust_domain, NOW)
