import asyncio
import logging

import pytest

from finial.server.datastore.errors import StoreFull
from finial.server.federation.errors import RefreshError
from finial.server.federation.refresher import Refresher, World
from finial.server.registry.feed import BundleCache
from finial.spiffe.bundle import Bundle
from finial.spiffe.federation import Outcome, Relationship, judge
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock, settle
from tests.fakes.fetcher import FakeFetcher, MiddleRng

WEB = Relationship.parse(trust_domain="other.org", url="https://other.org/", profile="https_web")
CA = FakeCa("other.org")


class Keeper:
    """Keeps bundles in a cache, if it has room."""

    def __init__(self) -> None:
        self.bundles = BundleCache()
        self.is_full = False

    async def take(self, fetched: Bundle) -> Outcome:
        if self.is_full:
            raise StoreFull("/d")
        outcome = judge(fetched, None)
        self.bundles.put(outcome.held.bundle)
        return outcome

    async def caught_up(self) -> None:
        await asyncio.sleep(0)


def world(clock: FakeClock, fetcher: FakeFetcher, keeper: Keeper) -> World:
    return World(fetcher, keeper, keeper.bundles, clock, MiddleRng())


async def test_a_store_that_refuses_is_a_failure_like_any_other() -> None:
    clock, fetcher, keeper = FakeClock(), FakeFetcher(), Keeper()
    fetcher.served["other.org"] = CA.bundle()
    keeper.is_full = True
    reports: list[None] = []
    told = lambda: reports.append(None)  # noqa: E731
    refresher = Refresher(WEB, world(clock, fetcher, keeper), is_static=True, changed=told)
    with pytest.raises(RefreshError, match="failed to store federated bundle: no space is left"):
        await refresher.fetch_now()
    assert refresher.state.next_at == clock.time() + 10
    keeper.is_full = False
    await refresher.fetch_now()
    assert refresher.state.error == ""
    assert refresher.state.next_at == clock.time() + 300
    assert len(reports) == 2


async def test_two_who_ask_at_once_are_served_one_after_the_other() -> None:
    clock, fetcher, keeper = FakeClock(), FakeFetcher(), Keeper()
    fetcher.served["other.org"] = CA.bundle()
    fetcher.gate = asyncio.Event()
    refresher = Refresher(WEB, world(clock, fetcher, keeper), is_static=False, changed=lambda: None)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(refresher.fetch_now())
        await settle()
        assert len(fetcher.asked) == 1
        fetcher.gate.set()
    assert len(fetcher.asked) == 2


async def test_what_is_passed_over_in_a_bundle_is_logged_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "finial.server.federation")
    clock, fetcher, keeper = FakeClock(), FakeFetcher(), Keeper()
    fetcher.served["other.org"] = CA.bundle()
    fetcher.complaints = ("a key of no use", "and 3 more")
    refresher = Refresher(WEB, world(clock, fetcher, keeper), is_static=False, changed=lambda: None)
    await refresher.fetch_now()
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("INFO", "federated bundle fetched"),
        ("WARNING", "passed over in a federated bundle"),
    ]
    assert "a key of no use; and 3 more" in str(vars(caplog.records[1]))
