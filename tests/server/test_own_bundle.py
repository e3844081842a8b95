"""The trust domain's own bundle where several servers publish in it."""

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest

from finial.server.authority.rotator import KEPT_AFTER_EXPIRY
from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.database import Database
from finial.server.datastore.feed import FeedStore
from finial.server.own_bundle import PublishedAuthorities
from finial.server.registry.feed import FeedReader
from finial.spiffe.bundle import X509Authority
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock

DOMAIN = FakeCa().trust_domain


class Others:
    def __init__(self) -> None:
        self.ids: set[str] = set()

    async def held(self) -> Collection[str]:
        return self.ids


@pytest.fixture
def others() -> Others:
    return Others()


@pytest.fixture
async def published(
    database: Database, clock: FakeClock, others: Others
) -> AsyncIterator[PublishedAuthorities]:
    reader = FeedReader(FeedStore(database), clock)
    await reader.load()
    following = asyncio.ensure_future(reader.run())
    yield PublishedAuthorities(DOMAIN, BundleStore(database), reader, others)
    following.cancel()


def root(ca: FakeCa) -> X509Authority:
    return ca.bundle().x509_authorities[0]


async def roots(database: Database) -> set[str]:
    bundle = await BundleStore(database).get(DOMAIN)
    assert bundle is not None
    return {each.authority_id for each in bundle.x509_authorities}


async def test_a_server_takes_its_own_authority_out_and_leaves_the_others(
    published: PublishedAuthorities, database: Database, others: Others
) -> None:
    own, foreign = root(FakeCa()), root(FakeCa())
    await published.append(x509=[own, foreign])
    others.ids = {foreign.authority_id}
    await published.remove(x509=[own.authority_id])
    assert await roots(database) == {foreign.authority_id}


async def test_what_another_server_has_as_well_stays(
    published: PublishedAuthorities, database: Database, others: Others
) -> None:
    copied, own = root(FakeCa()), root(FakeCa())
    await published.append(x509=[copied, own])
    others.ids = {copied.authority_id}
    await published.remove(x509=[copied.authority_id, own.authority_id])
    assert await roots(database) == {copied.authority_id}


async def test_what_nobody_takes_out_leaves_a_day_after_its_end(
    published: PublishedAuthorities, database: Database
) -> None:
    left, lives = root(FakeCa()), root(FakeCa())
    await published.append(x509=[left, lives])
    ends = {each.authority_id: each.cert.not_valid_after_utc.timestamp() for each in (left, lives)}
    end = max(ends.values())
    assert await published.prune(end + KEPT_AFTER_EXPIRY) == 0
    assert await published.prune(end + KEPT_AFTER_EXPIRY + 1) == 1
    assert len(await roots(database)) == 1
