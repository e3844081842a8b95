"""One PostgreSQL database that a test opens as two servers do."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import psycopg
import pytest

from finial.server.datastore.database import Database
from finial.server.datastore.postgres import PostgresTarget
from tests.fakes.clock import FakeClock


@pytest.fixture
def where(postgres_dsn: str) -> PostgresTarget:
    """An empty database of PostgreSQL."""
    return PostgresTarget.of(postgres_dsn)


@pytest.fixture
async def others(where: PostgresTarget, clock: FakeClock) -> AsyncIterator[Callable[..., object]]:
    """Opens the same database once more, as another server."""
    async with AsyncExitStack() as held:

        async def another(target: PostgresTarget = where) -> Database:
            opened = await Database.open(target, clock)
            held.push_async_callback(opened.close)
            return opened

        yield another


@pytest.fixture
async def other(others: Callable[..., object]) -> Database:
    """Another server on the same database."""
    opened = await others()  # type: ignore[misc]
    assert isinstance(opened, Database)
    return opened


def run(dsn: str, statement: str) -> list[tuple[object, ...]]:
    """Run a statement as an administrator; blocks."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
