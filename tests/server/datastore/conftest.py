"""Every test of a `database` runs on each kind that is served."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from finial.server.datastore.database import Database
from finial.server.datastore.postgres import PostgresTarget
from tests.fakes.clock import FakeClock

Where = str | Path | PostgresTarget


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """An empty database, or the place of one, as `Database.open` takes it."""
    places: dict[str, Callable[[], Where]] = {
        "sqlite": lambda: tmp_path / "datastore.sqlite3",
        "postgres": lambda: PostgresTarget.of(request.getfixturevalue("postgres_dsn")),
    }
    return places[request.param]()


@pytest.fixture
async def database(where: Where, clock: FakeClock) -> AsyncIterator[Database]:
    opened = await Database.open(where, clock)
    yield opened
    await opened.close()
