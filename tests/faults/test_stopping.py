"""SIGTERM: what is under way ends well, nothing begins, and nobody can hold it up."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import grpc
import pytest
from h2.events import ConnectionTerminated, DataReceived, TrailersReceived

from tests.fakes.daemon import accepts, comes_true, value_of
from tests.fakes.grpcio import workload
from tests.faults.test_hangers_on import LIST, X509, connected
from tests.runtime.rpc.wire import Wire

if TYPE_CHECKING:
    from tests.fakes.daemon import Daemon
    from tests.fakes.lab import Lab

CHECK = b"/grpc.health.v1.Health/Check"


async def half_asked(daemon: Daemon) -> tuple[Wire, int]:
    """A connection with an answered request, and one whose message has still to come."""
    wire = await Wire.connect(daemon.socket)
    await wire.until(DataReceived, stream_id=wire.call(b"", path=CHECK))
    stream_id = wire.call(None, end=False, path=CHECK)
    wire.h2.ping(b"12345678")
    wire.flush()
    return wire, stream_id


async def finish(wire: Wire, stream_id: int) -> bytes:
    """Send the rest of the request; return its grpc-status."""
    wire.h2.send_data(stream_id, b"\0\0\0\0\0", end_stream=True)
    wire.flush()
    await wire.until(DataReceived, stream_id=stream_id)
    trailers = await wire.until(TrailersReceived, stream_id=stream_id)
    status: bytes = dict(trailers.headers)[b"grpc-status"]
    return status


async def check_that_it_stops_well(daemon: Daemon) -> None:
    wire, stream_id = await half_asked(daemon)
    stopping = asyncio.ensure_future(daemon.stop())
    await wire.until(ConnectionTerminated)
    assert not accepts(daemon.socket)
    assert await finish(wire, stream_id) == b"0"
    assert await stopping == 0
    assert not daemon.socket.exists()
    assert "Traceback" not in daemon.log()
    wire.close()


async def test_the_agent_answers_what_is_under_way_and_ends_streams_with_unavailable(
    lab: Lab,
) -> None:
    async with workload(lab.agent.socket) as client:
        stream = client.stream("FetchX509SVID")
        assert (await stream.read()).svids
        await check_that_it_stops_well(lab.agent)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_server_answers_what_is_under_way_and_accepts_nobody(lab: Lab) -> None:
    await check_that_it_stops_well(lab.server)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", lab.port), timeout=5)


async def test_clients_that_never_read_or_speak_do_not_hold_up_an_end(lab: Lab) -> None:
    held = [await connected(lab.agent.socket, each) for each in (X509, b"PRI", b"")]
    held += [await connected(lab.server.socket, each) for each in (LIST, b"PRI", b"")]
    tcp = [socket.create_connection(("127.0.0.1", lab.port)) for _ in range(3)]
    begun = time.monotonic()
    assert await lab.agent.stop() == 0
    assert time.monotonic() - begun < 5  # half a second of grace, on a busy machine
    assert await lab.server.stop() == 0
    assert not lab.agent.socket.exists()
    assert not lab.server.socket.exists()
    for writer in held:
        writer.transport.abort()
    for sock in tcp:
        sock.close()


async def test_a_second_signal_ends_it_at_once(lab: Lab) -> None:
    wire, _ = await half_asked(lab.server)
    os.kill(lab.server.pid, signal.SIGTERM)
    await wire.until(ConnectionTerminated)
    assert lab.server.running
    os.kill(lab.server.pid, signal.SIGTERM)
    assert await lab.server.wait() == -signal.SIGTERM
    wire.close()
    await comes_true(lambda: value_of(accepts(lab.server.socket)), lambda yes: not yes)
    await lab.server.start()  # a socket file left behind is no obstacle
    assert await lab.server.stop() == 0
