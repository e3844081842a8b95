"""A pool of real signer processes, and ways to look at them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from finial.runtime.clock import SystemClock
from finial.server.signer.pool import SignerPool
from tests.fakes.signers import settings


@asynccontextmanager
async def running_pool(**changes: object) -> AsyncIterator[SignerPool]:
    """Signers that are watched over and in the end let go."""
    pool = SignerPool(settings(**changes), clock=SystemClock())
    await pool.start()
    watch = asyncio.create_task(pool.run())
    try:
        yield pool
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        await pool.close()


@pytest.fixture
async def pool() -> AsyncIterator[SignerPool]:
    async with running_pool() as made:
        yield made


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}
