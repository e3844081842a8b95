from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from finial.server.datastore.database import Database
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def database(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "datastore.sqlite3", clock)
    yield opened
    await opened.close()
