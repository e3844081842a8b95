"""The manager on a real store and feed, with endpoints and a clock that the test moves."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from finial.runtime.health import Health
from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.database import Database
from finial.server.datastore.federated_bundles import FederatedBundles, Federating
from finial.server.datastore.feed import FeedStore
from finial.server.datastore.relationships import Federated, RelationshipStore
from finial.server.federation.errors import RefreshError
from finial.server.federation.fetcher import FetchError
from finial.server.federation.manager import BundleManager
from finial.server.federation.refresher import Refreshed
from finial.server.registry.feed import FeedReader
from finial.spiffe.bundle import Bundle, BundleSource
from finial.spiffe.errors import FederationError
from finial.spiffe.federation import BundleUrl, Relationship
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock
from tests.fakes.fetcher import FakeFetcher, MiddleRng
from tests.fakes.waiting import eventually

OTHER = TrustDomain("other.org")
THIRD = TrustDomain("third.org")
CA = FakeCa("other.org")


def web(name: str = "other.org", url: str = "") -> Relationship:
    return Relationship.parse(trust_domain=name, url=url or f"https://{name}/", profile="https_web")


def spiffe(name: str = "other.org", served_by: str = "") -> Relationship:
    return Relationship.parse(
        trust_domain=name,
        url=f"https://{name}/",
        profile="https_spiffe",
        endpoint_id=f"spiffe://{served_by or name}/endpoint",
    )


class World:
    """A server as far as federation goes."""

    def __init__(
        self, database: Database, clock: FakeClock, static: Sequence[Relationship]
    ) -> None:
        self.clock = clock
        self.fetcher = FakeFetcher()
        self.bundles = BundleStore(database)
        self.federated = FederatedBundles(database)
        self.relationships = RelationshipStore(database)
        self.reader = FeedReader(FeedStore(database), clock)
        self.health = Health()
        self.manager = BundleManager(
            own=TrustDomain("example.org"),
            static=static,
            reader=self.reader,
            store=self.federated,
            fetcher=self.fetcher,
            clock=clock,
            rng=MiddleRng(),
            check=self.health.register("federation"),
        )

    def state(self, name: str = "other.org") -> Refreshed:
        return self.manager.states()[name]

    async def fetches(self, count: int, name: str = "other.org") -> None:
        """Wait until an endpoint was asked as often, and what came of it is noted."""
        await eventually(lambda: self.fetcher.asked.count(name) >= count)
        assert self.fetcher.asked.count(name) == count
        await eventually(lambda: (self.state(name).next_at or 0) > self.clock.time())

    def served(self, domain: TrustDomain = OTHER) -> Bundle | None:
        """What this server gives to agents."""
        return self.reader.bundles.bundle_for(domain)

    async def federate(self, relationship: Relationship, bundle: Bundle | None = None) -> None:
        await self.relationships.create(Federated(relationship, bundle))
        await self.reader.caught_up()


@asynccontextmanager
async def running(
    database: Database, clock: FakeClock, *static: Relationship
) -> AsyncIterator[World]:
    world = World(database, clock, static)
    await world.reader.load()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in (world.reader.run(), world.manager.run())]
        yield world
        for task in tasks:
            task.cancel()


@pytest.fixture
async def world(database: Database, clock: FakeClock) -> AsyncIterator[World]:
    async with running(database, clock) as made:
        yield made


async def test_a_new_relationship_is_fetched_at_once_and_then_as_its_bundle_hints(
    world: World,
) -> None:
    bundle = CA.bundle(refresh_hint=600)
    world.fetcher.served["other.org"] = bundle
    await world.federate(web())
    await world.fetches(1)
    assert world.served() == bundle
    await world.clock.advance(599)
    await world.fetches(1)
    newer = FakeCa("other.org").bundle(sequence=2, refresh_hint=60)
    world.fetcher.served["other.org"] = newer
    await world.clock.advance(1)
    await world.fetches(2)
    assert world.served() == newer
    await world.clock.advance(60)
    await world.fetches(3)


async def test_an_older_bundle_never_takes_the_place_of_a_newer_one(world: World) -> None:
    newer = CA.bundle(sequence=5)
    world.fetcher.served["other.org"] = newer
    await world.federate(web())
    await world.fetches(1)
    world.fetcher.served["other.org"] = FakeCa("other.org").bundle(sequence=4)
    assert await world.manager.refresh(OTHER)
    assert world.served() == newer


async def test_what_cannot_be_fetched_waits_for_the_next_refresh(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "finial.server.federation")
    bundle = CA.bundle(refresh_hint=600)
    world.fetcher.served["other.org"] = bundle
    start = world.clock.time()
    await world.federate(web())
    await world.fetches(1)
    assert world.state() == Refreshed(web(), False, start, None, "", start + 600)
    for broken in (FetchError("no route"), FederationError("status 500"), OSError("reset")):
        world.fetcher.served["other.org"] = broken
        asked = len(world.fetcher.asked)
        await world.clock.advance(599)
        await world.fetches(asked)
        await world.clock.advance(1)
        await world.fetches(asked + 1)
    error = "failed to fetch federated bundle from endpoint: reset"
    assert world.state() == Refreshed(web(), False, start, start + 600, error, start + 2400)
    assert world.served() == bundle
    warnings = [r for r in caplog.records if r.message == "cannot refresh a federated bundle"]
    assert len(warnings) == 3
    world.fetcher.served["other.org"] = bundle
    await world.clock.advance(600)
    await world.fetches(5)
    assert world.state().failing_since is None
    assert world.state().succeeded_at == start + 2400


async def test_without_any_bundle_the_pauses_grow_up_to_the_usual_interval(world: World) -> None:
    await world.federate(web())
    for number, pause in enumerate([10, 20, 40, 80, 160, 300, 300], 1):
        await world.fetches(number)
        assert world.state().next_at == world.clock.time() + pause
        await world.clock.advance(pause)


async def test_a_peer_that_is_dead_or_hangs_delays_nobody(world: World) -> None:
    world.fetcher.hanging.add("hanging.org")
    for name in ("dead.org", "hanging.org"):
        await world.federate(web(name))
    bundle = CA.bundle(refresh_hint=60)
    world.fetcher.served["other.org"] = bundle
    await world.federate(web())
    await world.fetches(1)
    for number in range(2, 20):
        await world.clock.advance(60)
        await world.fetches(number)
    assert world.fetcher.asked.count("hanging.org") == 1
    assert await world.manager.refresh(OTHER)
    assert world.served() == bundle
    assert world.state("hanging.org").next_at is None


async def test_whatever_fails_the_server_stays_ready_and_says_what_fails(world: World) -> None:
    assert world.health.ready
    await world.federate(web())
    await world.fetches(1)
    state = world.health.states()["federation"]
    assert state.ready
    assert state.message == (
        "1 of 1 federated bundles cannot be fetched; other.org: "
        "failed to fetch federated bundle from endpoint: connection refused"
    )
    world.fetcher.served["other.org"] = CA.bundle()
    await world.manager.refresh(OTHER)
    assert world.health.states()["federation"].message == ""


async def test_a_refresh_that_is_asked_for_happens_now_and_the_next_counts_from_it(
    world: World,
) -> None:
    world.fetcher.served["other.org"] = CA.bundle(refresh_hint=600)
    await world.federate(web())
    await world.fetches(1)
    newer = FakeCa("other.org").bundle(sequence=2, refresh_hint=600)
    world.fetcher.served["other.org"] = newer
    await world.clock.advance(400)
    assert await world.manager.refresh(OTHER)
    assert world.served() == newer
    await world.clock.advance(599)
    await world.fetches(2)
    await world.clock.advance(1)
    await world.fetches(3)


async def test_a_refresh_that_fails_says_so_to_whoever_asked(world: World) -> None:
    assert not await world.manager.refresh(OTHER)
    await world.federate(web())
    with pytest.raises(RefreshError, match="from endpoint: connection refused"):
        await world.manager.refresh(OTHER)


async def test_a_relationship_that_changes_is_fetched_anew_at_once(world: World) -> None:
    world.fetcher.served["other.org"] = CA.bundle(refresh_hint=600)
    await world.federate(web())
    await world.fetches(1)
    moved = replace(web(), url=BundleUrl("https://elsewhere/"))
    await world.relationships.update(Federated(moved))
    await world.fetches(2)
    assert world.state().relationship == moved
    await world.clock.advance(600)
    await world.fetches(3)  # and not also where it was


async def test_a_relationship_that_is_gone_is_fetched_no_more_and_its_bundle_stays(
    world: World,
) -> None:
    world.fetcher.served["other.org"] = CA.bundle(refresh_hint=60)
    await world.federate(web())
    await world.fetches(1)
    await world.relationships.delete(OTHER)
    await world.reader.caught_up()
    assert world.manager.states() == {}
    await world.clock.advance(3600)
    assert world.fetcher.asked == ["other.org"]
    assert world.served() == CA.bundle(refresh_hint=60)
    assert not await world.manager.refresh(OTHER)


async def test_one_that_hangs_is_let_go_when_its_relationship_is_gone(world: World) -> None:
    world.fetcher.hanging.add("other.org")
    await world.federate(web())
    await eventually(lambda: world.fetcher.asked)
    await world.relationships.delete(OTHER)
    await world.reader.caught_up()
    world.fetcher.hanging.clear()
    world.fetcher.served["other.org"] = CA.bundle()
    await world.federate(web())
    await world.fetches(2)
    assert world.served() == CA.bundle()


async def test_the_configured_relationship_counts_and_not_the_stored_one(
    database: Database, clock: FakeClock
) -> None:
    configured = web(url="https://configured/")
    await RelationshipStore(database).create(Federated(web()))
    async with running(database, clock, configured) as world:
        await world.fetches(1)
        assert (world.state().relationship, world.state().is_static) == (configured, True)
        await world.relationships.delete(OTHER)
        await world.reader.caught_up()
        assert world.state().relationship == configured
        await world.federate(web("third.org"))
        await world.fetches(1, "third.org")
        assert not world.state("third.org").is_static
        assert world.fetcher.asked.count("other.org") == 1


async def test_our_own_bundle_is_never_fetched(world: World) -> None:
    await world.federate(web("example.org"))
    await world.federate(web())
    await world.fetches(1)
    assert world.manager.states().keys() == {"other.org"}
    assert world.fetcher.asked == ["other.org"]


def proven_by(domain: TrustDomain, bundle: Bundle) -> object:
    """An endpoint whose SVID is judged by the bundle held of its domain, and serves another."""

    def answer(bundles: BundleSource) -> Bundle:
        if bundles.bundle_for(domain) is None:
            raise FederationError(f'no bundle of "{domain}" to begin with')
        return bundle

    return answer


async def test_the_first_bundle_given_by_hand_lets_the_fetch_go_on_at_once(world: World) -> None:
    newer = FakeCa("other.org").bundle(sequence=2)
    world.fetcher.served["other.org"] = proven_by(OTHER, newer)  # type: ignore[assignment]
    await world.federate(spiffe())
    await world.fetches(1)
    assert "to begin with" in world.state().error
    await world.bundles.put(CA.bundle())
    await eventually(lambda: world.served() == newer)
    assert world.fetcher.asked == ["other.org", "other.org"]


async def test_an_endpoint_in_a_third_domain_waits_for_the_bundle_of_that(world: World) -> None:
    world.fetcher.served["other.org"] = proven_by(THIRD, CA.bundle())  # type: ignore[assignment]
    await world.federate(spiffe(served_by="third.org"))
    await world.fetches(1)
    await world.bundles.put(CA.bundle(sequence=9))  # not the one that was missing
    await world.reader.caught_up()
    await world.fetches(1)
    await world.bundles.put(FakeCa("third.org").bundle())
    await eventually(lambda: world.state().error == "")
    assert world.fetcher.asked == ["other.org", "other.org"]


async def test_a_relationship_comes_with_the_bundle_that_proves_its_endpoint(world: World) -> None:
    newer = FakeCa("other.org").bundle(sequence=2)
    world.fetcher.served["other.org"] = proven_by(OTHER, newer)  # type: ignore[assignment]
    await world.federate(spiffe(), CA.bundle())
    await world.fetches(1)
    assert world.served() == newer


async def test_a_bundle_that_was_deleted_comes_back_with_the_next_refresh(world: World) -> None:
    world.fetcher.served["other.org"] = CA.bundle()
    await world.federate(web())
    await world.fetches(1)
    await world.federated.delete(OTHER, Federating.REFUSE)
    await world.reader.caught_up()
    assert world.served() is None
    await world.clock.advance(300)
    await world.fetches(2)
    assert world.served() == CA.bundle()


async def test_two_servers_that_fetch_agree_on_the_newer_bundle(
    database: Database, clock: FakeClock
) -> None:
    async with running(database, clock) as one, running(database, clock) as two:
        newer, older = FakeCa("other.org").bundle(sequence=2), CA.bundle(sequence=1)
        one.fetcher.served["other.org"] = newer
        two.fetcher.served["other.org"] = older
        await one.federate(web())
        await one.fetches(1)
        await two.fetches(1)
        for server in (one, two):
            assert await server.manager.refresh(OTHER)
            await server.reader.caught_up()
        assert one.served() == two.served() == newer


async def test_the_largest_numbers_that_a_bundle_may_have_are_kept(world: World) -> None:
    largest = CA.bundle(sequence=2**64 - 1, refresh_hint=2**64 - 1)
    world.fetcher.served["other.org"] = largest
    await world.federate(web())
    await world.fetches(1)
    assert world.served() == largest
    assert world.state().next_at == world.clock.time() + 86400
    world.fetcher.served["other.org"] = CA.bundle(sequence=2**63)
    await world.manager.refresh(OTHER)
    assert world.served() == largest
