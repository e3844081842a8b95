"""SVIDs of a tainted authority are replaced in an orderly way."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from finial.agent.cache.entries import Entry
from finial.agent.cache.workloads import Workloads
from finial.agent.sync.batches import RETRY_CAP
from finial.agent.sync.pace import AT_ONCE, EVERY, Pace
from finial.agent.sync.server import Unissued
from finial.agent.sync.svids import SvidIssuer
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import pass_time

if TYPE_CHECKING:
    from collections.abc import Sequence


def entries(count: int, name: str = "e") -> list[Entry]:
    ids = [f"{name}{number}" for number in range(count)]
    return [Entry(each, SpiffeId(f"spiffe://example.org/{each}"), frozenset()) for each in ids]


def test_what_can_wait_is_let_through_in_lots() -> None:
    pace = Pace()
    due = entries(250)
    taken = 0
    for moment, lot in ((0.0, AT_ONCE), (0.5, 0), (EVERY, AT_ONCE), (2 * EVERY, 50)):
        chosen = pace.choose(due[taken:], lambda _: True, moment)
        assert chosen == due[taken : taken + lot]
        taken += lot
        assert pace.held_back == (taken < len(due))
    assert pace.wait(2.25 * EVERY) == 0.75 * EVERY


def test_what_cannot_wait_is_never_held_back() -> None:
    pace = Pace()
    tainted, urgent = entries(AT_ONCE + 1), entries(AT_ONCE + 1, "u")
    due = [*tainted, *urgent]
    assert pace.choose(due, lambda entry: entry in tainted, 0.0) == [*tainted[:-1], *urgent]
    assert pace.choose(urgent, lambda entry: entry in tainted, 0.1) == urgent
    assert not pace.held_back


class Renewals:
    """A client of a server that fills some orders and writes down all of them."""

    generation = 1

    def __init__(self, ca: FakeCa, refused: set[str]) -> None:
        self.ca = ca
        self.refused = refused
        self.orders: list[set[str]] = []
        self.filled: set[str] = set()

    async def x509_svids(self, orders: Sequence[tuple[str, bytes]]) -> list[Any]:
        self.orders.append({entry_id for entry_id, _ in orders})
        return [self._answer(entry_id, csr) for entry_id, csr in orders]

    def _answer(self, entry_id: str, csr: bytes) -> tuple[bytes, ...] | Unissued:
        if entry_id in self.refused:
            return Unissued(5, "refused")
        self.filled.add(entry_id)
        key: Any = x509.load_der_x509_csr(csr).public_key()
        return self.ca.issue(f"spiffe://example.org/{entry_id}", csr_public_key=key).chain


@pytest.mark.parametrize("outage", [0, 3])
async def test_entries_that_cannot_be_renewed_keep_no_others_waiting(outage: float) -> None:
    clock = FakeClock()
    old, new = FakeCa(now=clock.time()), FakeCa(now=clock.time())
    workloads = Workloads(old.trust_domain)
    all_entries = entries(2 * AT_ONCE + 1)
    urgent, hopeless = all_entries[-1], all_entries[:AT_ONCE]
    workloads.replace_entries({entry.id: entry for entry in all_entries})
    roots = (*old.bundle(tainted=True).x509_authorities, *new.bundle().x509_authorities)
    bundle = replace(old.bundle(), x509_authorities=roots)
    workloads.replace_bundles({old.trust_domain: bundle})
    later = clock.time() + 1800
    svids = [(entry, old.issue(entry.spiffe_id), later) for entry in all_entries[:-1]]
    workloads.put_svids(svids)
    refused = {entry.id for entry in (urgent, *hopeless)}
    server: Any = Renewals(new, {entry.id for entry in all_entries} if outage else refused)
    issuer = SvidIssuer(
        workloads=workloads, client=server, identity=server, clock=clock, rng=random.Random(1)
    )
    run = asyncio.create_task(issuer.run())
    await pass_time(clock, outage, step=EVERY / 4)
    server.refused = refused
    # Two lots; after an outage, all have failed and their pause may be the longest twice.
    await pass_time(clock, 3 * RETRY_CAP if outage else 2 * EVERY, step=EVERY / 4)
    assert server.filled == {entry.id for entry in all_entries} - refused
    await pass_time(clock, 30, step=EVERY)
    assert set.union(*server.orders[-2:]) == refused  # tried again, but with ever longer pauses
    assert len(server.orders) < 24
    run.cancel()
