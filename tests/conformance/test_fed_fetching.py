"""Rows FED-04, FED-22 and FED-32: what binds whoever fetches from bundle endpoints."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from finial.runtime.clock import SystemClock
from finial.server.datastore.database import Database
from finial.server.datastore.federated_bundles import FederatedBundles
from finial.server.datastore.feed import FeedStore
from finial.server.federation.fetcher import FetchError
from finial.server.federation.refresher import Refresher, World
from finial.server.registry.feed import FeedReader
from finial.spiffe.federation import Outcome, Relationship, judge
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock
from tests.fakes.federation_lab import HOST, FederationLab, web
from tests.fakes.fetcher import FakeFetcher, MiddleRng
from tests.fakes.web_peer import LyingPeer
from tests.fakes.web_pki import WebPki

if TYPE_CHECKING:
    from pathlib import Path

    from finial.spiffe.bundle import Bundle

OTHER = FakeCa("other.test")
RELATIONSHIP = Relationship.parse(
    trust_domain="other.test", url="https://other.test/", profile="https_web"
)


async def test_FED_04_the_latest_bundle_outlives_the_server_that_fetched_it(
    tmp_path: Path,
) -> None:
    clock = SystemClock()
    latest = OTHER.bundle(sequence=7)
    fetcher = FakeFetcher()
    for bundle in (OTHER.bundle(sequence=6), latest):
        fetcher.served["other.test"] = bundle
        database = await Database.open(tmp_path / "db", clock)
        try:
            await (Fetches(database, clock, fetcher)).once()
        finally:
            await database.close()
    database = await Database.open(tmp_path / "db", clock)
    try:
        reader = FeedReader(FeedStore(database), clock)
        await reader.load()
        assert reader.bundles.bundle_for(OTHER.trust_domain) == latest
    finally:
        await database.close()


class Fetches:
    """What a server does of a relationship between its start and its end."""

    def __init__(self, database: Database, clock: SystemClock, fetcher: FakeFetcher) -> None:
        self._store = FederatedBundles(database)
        self._reader = FeedReader(FeedStore(database), clock)
        self._refresher = Refresher(
            RELATIONSHIP,
            World(fetcher, self, self._reader.bundles, clock, MiddleRng()),
            is_static=True,
            changed=lambda: None,
        )

    async def once(self) -> None:
        await self._reader.load()
        await self._refresher.fetch_now()

    async def take(self, fetched: Bundle) -> Outcome:
        return await self._store.take(fetched)

    async def caught_up(self) -> None:
        await self._reader.load()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FederationLab:
    return FederationLab(tmp_path, monkeypatch)


async def test_FED_22_a_server_for_this_host_by_a_known_authority_is_asked(
    lab: FederationLab,
) -> None:
    async with lab.web_peer("*.other.test").listening() as peer:
        assert (await lab.fetch(web(peer.port))).bundle == lab.other.bundle()


async def test_FED_22_a_server_of_another_name_is_not_asked(lab: FederationLab) -> None:
    for peer in (
        lab.web_peer("other.test", "127.0.0.1", f"x.{HOST}"),
        LyingPeer(lab.pki.issue(common_name=HOST), lab.document()),
    ):
        async with peer.listening():
            assert "certificate refused" in await lab.complaint(web(peer.port))
        assert peer.requests == []


async def test_FED_22_a_server_by_no_known_authority_is_not_asked(lab: FederationLab) -> None:
    peer = LyingPeer(WebPki().issue(HOST), lab.document())
    async with peer.listening():
        assert "certificate refused" in await lab.complaint(web(peer.port))
    assert peer.requests == []


class Memory:
    """Keeps bundles, and nothing else."""

    def __init__(self) -> None:
        self.held: dict[str, Bundle] = {}

    def bundle_for(self, trust_domain: object) -> Bundle | None:
        return self.held.get(str(trust_domain))

    async def take(self, fetched: Bundle) -> Outcome:
        self.held[str(fetched.trust_domain)] = fetched
        return judge(fetched, None)

    async def caught_up(self) -> None: ...


async def test_FED_32_a_failed_poll_waits_for_the_next_interval() -> None:
    clock, fetcher, memory = FakeClock(), FakeFetcher(), Memory()
    fetcher.served["other.test"] = OTHER.bundle(refresh_hint=200)
    refresher = Refresher(
        RELATIONSHIP,
        World(fetcher, memory, memory, clock, MiddleRng()),
        is_static=True,
        changed=lambda: None,
    )
    running = asyncio.create_task(refresher.run())
    await clock.advance(0)
    fetcher.served["other.test"] = FetchError("status 500")
    for polls in range(2, 6):
        await clock.advance(199)
        assert len(fetcher.asked) == polls - 1
        await clock.advance(1)
        assert len(fetcher.asked) == polls
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
