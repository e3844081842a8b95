"""A network that swallows what is sent, without a word to either end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.server import FakeServer
from tests.fakes.waiting import eventually, pass_time
from tests.fakes.workload import MY_UID, RunningAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Relay:
    """Between agent and server. `swallow` makes the connections of the moment lead nowhere."""

    def __init__(self, server: FakeServer) -> None:
        self.td = server.td
        self.bundle_pem = server.bundle_pem
        self.port = 0
        self._server = server
        self._dead: set[asyncio.StreamWriter] = set()
        self._alive: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for writer in self._alive | self._dead:
            writer.close()

    def swallow(self) -> None:
        self._dead |= self._alive

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, thither = await asyncio.open_connection("127.0.0.1", self._server.port)
        self._alive |= {writer, thither}
        await asyncio.gather(self._pass(reader, thither), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if writer not in self._dead:
                    writer.write(data)
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer(FakeClock())
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def relay(server: FakeServer) -> AsyncIterator[Relay]:
    between = Relay(server)
    await between.start()
    yield between
    await between.stop()


async def test_a_connection_that_leads_nowhere_is_given_up_before_a_call_runs_out_of_time(
    tmp_path: Path, server: FakeServer, relay: Relay
) -> None:
    clock = cast("FakeClock", server.clock)
    server.add_entry("a", "/a", MY_UID)
    token = server.add_token()
    async with RunningAgent(tmp_path, cast("Any", relay), clock=clock, token=token) as running:
        assert len((await running.fetch()).svids) == 1
        await pass_time(clock, 10, step=1)
        relay.swallow()
        server.add_entry("b", "/b", MY_UID)
        await pass_time(clock, 29, step=1)
        await eventually(lambda: server.issued["b"])
