import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.errors import StoreFull
from finial.server.datastore.issued import IssuedStore
from finial.server.registry.model import Entry, IssuedSvid
from tests.fakes.clock import FakeClock
from tests.server.registry.examples import entry

WRITER = """
import asyncio, sys
from finial.runtime.clock import SystemClock
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from tests.server.registry.examples import entry

async def write(store, caller):
    for number in range(1 << 30):
        batch = [entry(f"w-{caller}-{number}-{item}") for item in range(3)]
        for made in await store.create_many(batch):
            sys.stdout.write(made.id + "\\n")
        sys.stdout.flush()

async def main():
    store = EntryStore(await Database.open(sys.argv[1], SystemClock()))
    await asyncio.gather(*(write(store, caller) for caller in range(4)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_before_a_kill_is_there_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "datastore.sqlite3"
    acknowledged = write_until_killed(path)
    assert len(acknowledged) >= 300
    database = await Database.open(path, FakeClock())
    stored = {each.id for each in (await EntryStore(database).list()).items}
    assert acknowledged <= stored
    await database.close()


def write_until_killed(path: Path) -> set[str]:
    """Kill a writer in the middle of its work; return the IDs that it had acknowledged."""
    command = [sys.executable, "-c", WRITER, str(path)]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(300)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
    return {line.strip() for line in lines if line.endswith("\n")}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mounting, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def svids(number: int) -> list[IssuedSvid]:
    return [
        IssuedSvid(
            kind="jwt",
            serial_or_jti=f"{number}-{each}",
            spiffe_id="spiffe://example.org/" + "w" * 200,
            expires_at=1_900_000_000,
            issued_at=1_800_000_000,
        )
        for each in range(20)
    ]


async def fill(issued: IssuedStore) -> int:
    """Record until the disk is full; return how many SVIDs were acknowledged."""
    for number in range(10_000):
        try:
            await issued.record(svids(number))
        except StoreFull:
            return number * 20
    raise AssertionError("the disk never filled")


async def test_a_full_disk_loses_nothing_and_the_store_works_when_there_is_space(
    small_disk: Path,
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * (1 << 20))
    database = await Database.open(small_disk / "datastore.sqlite3", FakeClock())
    entries, issued = EntryStore(database), IssuedStore(database)
    (kept,) = await entries.create_many([entry("kept")])
    acknowledged = await fill(issued)
    with pytest.raises(StoreFull, match="no space is left"):
        await issued.record(svids(0) * 10)
    assert await issued.count() == acknowledged
    assert (await entries.list()).items == (kept,)

    ballast.unlink()
    (later,) = await entries.create_many([entry("later")])
    assert isinstance(later, Entry)
    await database.close()
    again = await Database.open(small_disk / "datastore.sqlite3", FakeClock())
    assert await IssuedStore(again).count() == acknowledged
    assert (await EntryStore(again).list()).items == (kept, later)
    await again.close()
