import asyncio
from pathlib import Path

import pytest

from finial.server.datastore.database import Database
from finial.server.datastore.issued import IssuedStore
from finial.server.datastore.journal import JournalStore
from finial.server.registry.model import IssuedSvid
from tests.fakes.clock import FakeClock

FRAME = 4096 + 24
"""Bytes that a changed page adds to the write-ahead log."""


def svid(number: int, expires_at: int = 1_800_000_600) -> IssuedSvid:
    return IssuedSvid(
        kind="x509",
        serial_or_jti=str(number),
        spiffe_id="spiffe://example.org/w",
        entry_id="e",
        agent_id="spiffe://example.org/spire/agent/join_token/n1",
        expires_at=expires_at,
        issued_at=1_800_000_000,
    )


@pytest.fixture
def store(database: Database) -> IssuedStore:
    return IssuedStore(database)


async def test_recorded_svids_are_kept_as_they_are(store: IssuedStore, clock: FakeClock) -> None:
    await store.record([svid(1), svid(2)])
    await store.record([])
    assert await store.list(clock.time()) == [svid(1), svid(2)]


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
async def test_callers_at_the_same_time_share_a_commit(
    store: IssuedStore, database: Database
) -> None:
    log = Path(f"{database.name}-wal")
    await store.record([svid(0)])

    def size(path: Path = log) -> int:
        return path.stat().st_size

    before = size()
    for number in range(40):
        await store.record([svid(number)])
    alone = size() - before
    before = size()
    await asyncio.gather(*(store.record([svid(number)]) for number in range(40)))
    together = size() - before
    assert alone >= 40 * FRAME
    assert together < alone / 2
    assert await store.count() == 81


@pytest.mark.parametrize("where", ["postgres"], indirect=True)
async def test_callers_at_the_same_time_share_a_transaction(
    store: IssuedStore, database: Database
) -> None:
    await asyncio.gather(*(store.record([svid(number)]) for number in range(40)))
    count = "SELECT count(DISTINCT xmin::text) FROM issued_svids"
    assert await database.read(lambda c: c.exec_driver_sql(count).scalar_one()) <= 3
    assert await store.count() == 40


async def test_records_of_expired_svids_are_pruned(store: IssuedStore, clock: FakeClock) -> None:
    await store.record([svid(1, 1_800_000_010), svid(2, 1_800_000_011)])
    await clock.advance(11)
    assert await store.list(clock.time()) == [svid(2, 1_800_000_011)]
    assert await store.prune_expired(clock.time()) == 1
    assert await store.count() == 1


async def test_a_journal_is_replaced_whole(database: Database) -> None:
    store = JournalStore(database, "one")
    assert await store.get("authorities") is None
    await store.put("authorities", b"\x00one")
    await store.put("authorities", b"two\xff")
    await store.put("other", b"")
    assert await store.get("authorities") == b"two\xff"
    assert await store.get("other") == b""
