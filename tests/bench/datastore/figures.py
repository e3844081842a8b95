"""Figures of the datastore and the entry index on this machine.

    python tests/bench/datastore/figures.py [folder | postgres://… | postgres]

`postgres` alone starts a server as tests do, but with fsync on.

CPU is that of the whole process, all threads; the machine's other work disturbs it least.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import time
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from finial.attestors.selector import Selector
from finial.runtime.clock import SystemClock
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.feed import FeedStore
from finial.server.datastore.issued import IssuedStore
from finial.server.datastore.postgres import PostgresTarget
from finial.server.registry.feed import FeedReader
from finial.server.registry.model import Entry, EntryFilter, IssuedSvid
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes import postgres

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from finial.server.registry.index import EntryIndex

Where = str | Path | PostgresTarget

DOMAIN = "spiffe://example.org"
HOT = SpiffeId(f"{DOMAIN}/spire/agent/join_token/hot")


def entry(number: int, parent: SpiffeId = HOT, run: str = "0") -> Entry:
    return Entry(
        spiffe_id=SpiffeId(f"{DOMAIN}/bench/r{run}/workload-{number}"),
        parent_id=parent,
        selectors=(Selector("unix", f"uid:{number}"), Selector("unix", "gid:1000")),
    )


async def measure(
    name: str, callers: int, items: int, call: Callable[[int], Awaitable[object]], seconds: float
) -> None:
    calls: list[float] = []
    started, cpu = time.perf_counter(), time.process_time()
    end = started + seconds

    async def caller() -> None:
        while (begun := time.perf_counter()) < end:
            await call(len(calls))
            calls.append(time.perf_counter() - begun)

    await asyncio.gather(*(caller() for _ in range(callers)))
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    calls.sort()
    done = len(calls) * items
    p50, p99 = calls[len(calls) // 2] * 1e3, calls[int(len(calls) * 0.99)] * 1e3
    print(
        f"{name:34} c{callers:<3} {done / wall:9.0f}/s  cpu {cpu / done * 1e6:7.1f} us/item  "
        f"p50 {p50:7.2f}  p99 {p99:7.2f} ms"
    )


def svid(number: int) -> IssuedSvid:
    return IssuedSvid(
        kind="x509",
        serial_or_jti=str((1 << 127) + number),
        spiffe_id=f"{DOMAIN}/bench/workload-{number}",
        entry_id="8f14e45f-ceea-467f-a8b6-2b1c9d1d1d1d",
        agent_id=HOT.uri,
        expires_at=1_900_000_000,
        issued_at=1_800_000_000,
    )


def main() -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()
    if wanted == "postgres":
        with postgres.shared() as server:
            for setting in ("fsync = on", "full_page_writes = on"):
                server.execute(f"ALTER SYSTEM SET {setting}")
            with server.database() as dsn:
                asyncio.run(run(PostgresTarget.of(dsn)))
    else:
        asyncio.run(run(wanted if "://" in wanted else Path(wanted, "bench.sqlite3")))


async def run(where: Where) -> None:
    begun = time.perf_counter()
    database = await Database.open(where, SystemClock())
    print(f"open, fresh: {(time.perf_counter() - begun) * 1e3:.1f} ms")
    feed, store, issued = FeedStore(database), EntryStore(database), IssuedStore(database)
    reader = FeedReader(feed, SystemClock())
    await reader.load()
    follow = asyncio.create_task(reader.run())
    await writing(store, reader, issued)
    await reading(store, reader)
    follow.cancel()
    await asyncio.gather(follow, return_exceptions=True)
    await database.close()
    await reopening(where)


async def writing(store: EntryStore, reader: FeedReader, issued: IssuedStore) -> None:
    runs = iter(range(1 << 30))

    async def create(count: int) -> None:
        run = uuid.uuid4().hex
        outcomes = await store.create_many([entry(next(runs), run=run) for _ in range(count)])
        if not isinstance(outcomes[0], Entry):
            raise TypeError(outcomes[0])
        await reader.caught_up()

    for count in (1, 8, 64):
        await measure("issued.record, 1 each", count, 1, lambda n: issued.record([svid(n)]), 2)
    batch = [svid(n) for n in range(500)]
    await measure("issued.record, 500 each", 1, 500, lambda _: issued.record(batch), 2)
    await measure("create 1, until indexed", 1, 1, lambda _: create(1), 2)
    await measure("create 1, until indexed", 8, 1, lambda _: create(1), 2)
    for _ in range(3):
        await measure(
            f"create 500, until indexed, {len(reader.entries)}", 1, 500, lambda _: create(500), 2
        )
    while len(reader.entries) < 50_000:
        await create(500)
    await measure("create 500 at 50,000", 1, 500, lambda _: create(500), 2)
    await measure("create 1 at 50,000", 1, 1, lambda _: create(1), 2)


async def reading(store: EntryStore, reader: FeedReader) -> None:
    everything = EntryFilter()
    by_selector = EntryFilter(selectors=(Selector("unix", "uid:77"), Selector("unix", "gid:1000")))
    some = next(iter(reader.entries))
    await measure("count", 1, 1, lambda _: store.count(everything), 1)
    await measure("count by parent", 1, 1, lambda _: store.count(EntryFilter(parent_id=HOT)), 1)
    await measure("list by selectors", 1, 1, lambda _: store.list(by_selector), 1)
    await measure("list page of 500", 1, 500, lambda _: store.list(everything, 500, "1000"), 1)
    await measure("get", 1, 1, lambda _: store.get(some.id), 1)


async def reopening(where: Where) -> None:
    gc.collect()
    before = resident()
    begun = time.perf_counter()
    database = await Database.open(where, SystemClock())
    opened = time.perf_counter() - begun
    reader = FeedReader(FeedStore(database), SystemClock())
    await reader.load()
    count = len(reader.entries)
    print(
        f"open {opened * 1e3:.1f} ms; load {count} entries "
        f"{(time.perf_counter() - begun - opened) * 1e3:.0f} ms"
    )
    gc.collect()
    print(f"memory, loaded in a process that held them before: {resident() - before:.1f} MiB")
    indexes(reader)
    await database.close()


def indexes(reader: FeedReader) -> None:
    index = reader.entries
    for size in (10, 1000, 10_000):
        agent = SpiffeId(f"{DOMAIN}/spire/agent/join_token/n{size}")
        for number in range(size):
            new = entry(number, agent)
            index.put(replace(new, id=f"{size}-{number:06}"))
        extra = replace(entry(1 << 20, agent), id=f"{size}-0000005")
        print(
            f"authorized {size:6}: cold {timed(partial(cold, index, agent), 20):9.1f} us, "
            f"warm {timed(partial(index.authorized, agent), 2000):6.2f} us, one entry in or out, "
            f"then asked {timed(partial(change, index, agent, extra), 50) / 2:8.1f} us"
        )


def cold(index: EntryIndex, agent: SpiffeId) -> None:
    index.forget_agent(agent)
    index.authorized(agent)


def change(index: EntryIndex, agent: SpiffeId, extra: Entry) -> None:
    index.put(extra)
    index.view(agent)
    index.remove(extra.id)
    index.view(agent)


def timed(call: Callable[[], object], count: int) -> float:
    begun = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - begun) / count * 1e6


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


main()
