import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import OpenGate, Server
from tests.runtime.rpc.echo import Echo
from tests.runtime.rpc.matrix import table


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, unlike tmp_path: a Unix socket's path ends at 107 characters."""
    with tempfile.TemporaryDirectory(prefix="rpc") as path:
        yield Path(path)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def server(folder: Path, echo: Echo) -> AsyncIterator[Server]:
    """Serves `echo` on the socket `s` of `folder`, on the real clock."""
    server = Server(clock=SystemClock(), gate=OpenGate(), name="test")
    echo.register(server)
    await server.listen_unix(folder / "s", mode=0o600)
    yield server
    await server.drain(0)


@pytest.fixture
def target(folder: Path) -> str:
    return f"unix:{folder / 's'}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show which peers have passed what."""
    table.show(terminalreporter)
