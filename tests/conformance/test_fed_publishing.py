"""Rows FED-01 and FED-02: what a publisher owes those who read its bundle now and then."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from finial.runtime.observe import Observer
from finial.server.authority import AuthorityManager, AuthoritySettings
from finial.server.signer.model import AuthorityKind
from finial.spiffe.federation.polling import DEFAULT_INTERVAL
from tests.fakes.authority import FakeJournals, FakeOwnBundle
from tests.fakes.clock import FakeClock
from tests.fakes.signers import FakeSigners

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

X509 = AuthorityKind.X509
STEP = 60
TTL = 3600
DAYS = 3


@asynccontextmanager
async def publisher(clock: FakeClock, bundle: FakeOwnBundle) -> AsyncIterator[AuthorityManager]:
    """Authorities of a day each, rotated by the clock."""
    manager = AuthorityManager(
        AuthoritySettings(),
        clock=clock,
        signers=FakeSigners(),
        bundle=bundle,
        journals=FakeJournals(),
        observer=Observer(logging.getLogger("finial.test")),
    )
    await manager.start()
    task = asyncio.create_task(manager.run())
    try:
        yield manager
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_FED_01_a_key_is_published_five_polls_before_it_signs() -> None:
    clock, bundle = FakeClock(), FakeOwnBundle()
    published: dict[str, float] = {}
    signing: dict[str, float] = {}
    async with publisher(clock, bundle) as manager:
        for _ in range(DAYS * 86_400 // STEP):
            for authority_id in bundle.x509:
                published.setdefault(authority_id, clock.time())
            signing.setdefault(manager.active(X509).id, clock.time())
            await clock.advance(STEP)
    _first, *successors = signing
    assert len(successors) >= DAYS - 1
    for authority_id in successors:
        assert signing[authority_id] - published[authority_id] >= 5 * DEFAULT_INTERVAL


async def test_FED_02_a_key_stays_while_an_svid_of_its_lives_and_leaves_afterwards() -> None:
    clock, bundle = FakeClock(), FakeOwnBundle()
    last_svid_ends: dict[str, float] = {}
    seen: set[str] = set()
    async with publisher(clock, bundle) as manager:
        for _ in range(DAYS * 86_400 // STEP):
            active = manager.active(X509)
            last_svid_ends[active.id] = min(clock.time() + TTL, active.not_after)
            seen |= set(bundle.x509)
            alive = {each for each, end in last_svid_ends.items() if end > clock.time()}
            assert alive <= set(bundle.x509)
            await clock.advance(STEP)
    assert seen - set(bundle.x509), "no key ever left the bundle"
