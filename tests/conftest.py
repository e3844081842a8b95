from collections.abc import Iterator

import pytest

from tests.fakes import postgres
from tests.fakes.postgres import Pair, PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's PostgreSQL; skips, with the line that installs it, where there is none."""
    with postgres.shared() as server:
        yield server


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """The connection string of an empty database that only this test has."""
    with postgres_server.database() as dsn:
        yield dsn


@pytest.fixture
def postgres_pair(postgres_server: PostgresServer) -> Iterator[Pair]:
    """A primary of this test's own and a replica that streams from it, both on TCP as well."""
    with postgres.pair(postgres_server) as made:
        yield made
