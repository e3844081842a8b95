"""An orderly end on both event loops, and clients that would hold it up."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, TrailersReceived

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import Limits, OpenGate, Server
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import eventually
from tests.runtime.rpc.echo import Echo
from tests.runtime.rpc.wire import Wire

Body = Callable[[], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    """Run a test's body on a loop of this kind."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run(body: Body) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(body())  # type: ignore[arg-type]

    return run


async def serving(path: Path, clock: FakeClock | SystemClock | None = None) -> tuple[Server, Echo]:
    server, echo = Server(clock=clock or SystemClock(), gate=OpenGate(), limits=Limits()), Echo()
    echo.register(server)
    await server.listen_unix(path, mode=0o600)
    return server, echo


def test_a_request_half_sent_when_the_drain_begins_is_answered(
    folder: Path, run: Callable[[Body], None]
) -> None:
    async def body() -> None:
        server, _ = await serving(folder / "s")
        wire = await Wire.connect(folder / "s")
        stream_id = wire.call(None, end=False)
        await eventually(lambda: any(each.streams for each in server.connections))
        draining = asyncio.ensure_future(server.drain(20))
        await wire.until(ConnectionTerminated)
        assert not (folder / "s").exists()
        wire.h2.send_data(stream_id, b"\0\0\0\0\5hello", end_stream=True)
        wire.flush()
        assert (await wire.until(DataReceived, stream_id=stream_id)).data == b"\0\0\0\0\5hello"
        await wire.until(TrailersReceived, stream_id=stream_id)
        await wire.closed()
        await draining

    run(body)


def test_an_open_stream_hears_unavailable_at_the_end_of_the_grace(
    folder: Path, run: Callable[[Body], None]
) -> None:
    async def body() -> None:
        server, _ = await serving(folder / "s")
        wire = await Wire.connect(folder / "s")
        stream_id = wire.call(b"x", path=b"/test.Echo/Watch")
        await wire.until(DataReceived, stream_id=stream_id)
        draining = asyncio.ensure_future(server.drain(0.2))
        await wire.until(ConnectionTerminated)
        ended = await wire.until(TrailersReceived, stream_id=stream_id)
        assert dict(ended.headers)[b"grpc-status"] == b"14"
        await wire.closed()
        await draining
        assert len(server.admission) == 0

    run(body)


def test_clients_that_never_read_do_not_outlast_the_grace(
    folder: Path, run: Callable[[Body], None]
) -> None:
    async def body() -> None:
        server, echo = await serving(folder / "s")
        wire = await Wire.connect(folder / "s")
        wire.h2.increment_flow_control_window(2**30)
        stream_id = wire.call(b"1000000", end=False, path=b"/test.Echo/Flood")
        wire.h2.increment_flow_control_window(2**30, stream_id)
        wire.h2.end_stream(stream_id)
        wire.flush()
        await eventually(lambda: any(each.paused for each in server.connections))
        async with asyncio.timeout(5):
            await server.drain(0.1)
        assert not server.connections
        assert echo.cancelled.is_set()
        wire.close()

    run(body)


async def test_idle_clients_that_never_read_hold_up_a_drain_for_a_second(folder: Path) -> None:
    clock = FakeClock()
    server, _ = await serving(folder / "s", clock)
    wires = [await Wire.connect(folder / "s", greet=greet) for greet in (True, True, False)]
    await wires[0].until(DataReceived, stream_id=wires[0].call(b"x"))
    await eventually(lambda: len(server.connections) == 3)
    draining = asyncio.ensure_future(server.drain(30))
    await clock.advance(1.1)
    await eventually(draining.done)
    assert not server.connections
    for wire in wires:
        wire.close()


async def test_a_closed_connection_with_a_full_socket_is_aborted_after_a_second(
    folder: Path,
) -> None:
    clock = FakeClock()
    server, _ = await serving(folder / "s", clock)
    wire = await Wire.connect(folder / "s")
    wire.h2.increment_flow_control_window(2**30)
    stream_id = wire.call(b"1000000", end=False, path=b"/test.Echo/Flood")
    wire.h2.increment_flow_control_window(2**30, stream_id)
    wire.h2.end_stream(stream_id)
    wire.flush()
    await eventually(lambda: any(each.paused for each in server.connections))
    wire.writer.write_eof()
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert server.connections
    await clock.advance(1.1)
    await eventually(lambda: not server.connections)
    wire.close()
    await server.drain(0)


async def test_a_drain_accepts_nobody(folder: Path) -> None:
    clock = FakeClock()
    server, _ = await serving(folder / "s", clock)
    (folder / "s").rename(folder / "still-there")
    wire = await Wire.connect(folder / "still-there")
    await wire.until(ResponseReceived, stream_id=wire.call(b"x", path=b"/test.Echo/Watch"))
    draining = asyncio.ensure_future(server.drain(5))
    await wire.until(ConnectionTerminated)
    with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as late:
        late.connect(str(folder / "still-there"))
    await clock.advance(6)
    await draining
    wire.close()
