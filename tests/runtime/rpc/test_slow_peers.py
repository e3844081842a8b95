"""Peers that take their time, on a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from h2.events import DataReceived, Event, ResponseReceived, StreamReset, TrailersReceived

from finial.runtime.rpc import Channel, Limits, OpenGate, RpcError, Server
from tests.fakes.clock import FakeClock
from tests.runtime.rpc import frames
from tests.runtime.rpc.echo import Echo, Stub
from tests.runtime.rpc.frames import END_HEADERS, frame
from tests.runtime.rpc.wire import Wire, until

LIMITS = Limits(message_timeout=80, send_timeout=160)
CHAT = b"/test.Echo/Chat"
WATCH = b"/test.Echo/Watch"
EXCEEDED = b"4"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def server(folder: Path, echo: Echo, clock: FakeClock) -> AsyncIterator[Server]:
    server = Server(clock=clock, gate=OpenGate(), limits=LIMITS)
    echo.register(server)
    await server.listen_unix(folder / "s", mode=0o600)
    yield server
    await server.drain(0)


@pytest.fixture
async def wire(server: Server, folder: Path) -> AsyncIterator[Wire]:  # noqa: ARG001
    wire = await Wire.connect(folder / "s")
    await wire.until(DataReceived, stream_id=wire.call(b"hello"))
    yield wire
    wire.close()


async def status(wire: Wire, stream_id: int, kind: type[Event] = ResponseReceived) -> bytes:
    """Return the status that a call ends with."""
    event = await wire.until(kind, stream_id=stream_id)
    return dict(event.headers)[b"grpc-status"]  # type: ignore[no-any-return]


async def heard(wire: Wire) -> None:
    """Wait until the server has heard all that was sent."""
    await wire.until(DataReceived, stream_id=wire.call(b"have you?"))


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\0\x0aabc", b"\0\0\0\0\x03abc"])
async def test_a_unary_request_must_come_in_time(
    wire: Wire, server: Server, clock: FakeClock, sent: bytes
) -> None:
    stream_id = wire.call(None, end=False)
    for part in (sent[:6], sent[6:]):
        wire.h2.send_data(stream_id, part)
        wire.flush()
    await heard(wire)
    await clock.advance(79)
    (connection,) = server.connections
    assert connection.awaited == 1
    await clock.advance(12)
    assert await status(wire, stream_id) == EXCEEDED
    assert connection.awaited == 0
    assert connection.intake.held == 0


async def test_trickling_is_no_way_round_it(wire: Wire, server: Server, clock: FakeClock) -> None:
    stream_id = wire.call(None, end=False)
    wire.h2.send_data(stream_id, b"\0\0\0\x03\xe8")
    (connection,) = server.connections
    for _ in range(79):
        wire.h2.send_data(stream_id, b"x")
        wire.flush()
        await clock.advance(1)
    assert connection.awaited == 1
    for _ in range(12):
        wire.h2.send_data(stream_id, b"x")
        wire.flush()
        await clock.advance(1)
    assert await status(wire, stream_id) == EXCEEDED


async def test_a_message_of_a_stream_must_come_in_time(wire: Wire, clock: FakeClock) -> None:
    stream_id = wire.call(b"one", end=False, path=CHAT)
    await wire.until(DataReceived, stream_id=stream_id)
    await clock.advance(10_000)
    wire.h2.send_data(stream_id, b"\0\0\0\0\x05tw")
    wire.flush()
    await heard(wire)
    await clock.advance(79)
    wire.h2.send_data(stream_id, b"o..")
    wire.flush()
    await wire.until(DataReceived, stream_id=stream_id)
    await clock.advance(10_000)
    wire.h2.send_data(stream_id, b"\0\0\0\0\x03yes")
    wire.flush()
    await wire.until(DataReceived, stream_id=stream_id, data=b"\0\0\0\0\x03YES")
    wire.h2.send_data(stream_id, b"\0\0\0\0\x05th")
    wire.flush()
    await heard(wire)
    await clock.advance(91)
    assert await status(wire, stream_id, TrailersReceived) == EXCEEDED


async def test_streams_without_news_stay_open_for_weeks(
    wire: Wire, server: Server, echo: Echo, clock: FakeClock
) -> None:
    watching = wire.call(b"one", path=WATCH)
    sending = wire.call(b"one", end=False, path=CHAT)
    await wire.until(DataReceived, stream_id=watching)
    await wire.until(DataReceived, stream_id=sending)
    await clock.advance(30 * 24 * 3600)
    echo.push.send(b"two")
    await wire.until(DataReceived, stream_id=watching)
    wire.h2.send_data(sending, b"\0\0\0\0\x03two")
    wire.flush()
    await wire.until(DataReceived, stream_id=sending)
    (connection,) = server.connections
    assert connection._watch is None or not connection.awaited


def shut(wire: Wire) -> None:
    """Close the windows of all streams to come."""
    wire.h2.update_settings({4: 0})
    wire.flush()


async def test_an_answer_that_nobody_takes_is_given_up(
    wire: Wire, server: Server, clock: FakeClock
) -> None:
    shut(wire)
    stream_id = wire.call(bytes(1000))
    (connection,) = server.connections
    await until(lambda: connection.unsent == 1005)
    await clock.advance(159)
    assert connection.unsent == 1005
    await clock.advance(12)
    reset = await wire.until(StreamReset, stream_id=stream_id)
    assert reset.error_code == 8
    assert connection.unsent == 0
    assert connection.intake.held == 0
    assert not connection.streams


async def test_at_the_deadline_it_is_given_up_sooner(
    wire: Wire, server: Server, clock: FakeClock
) -> None:
    shut(wire)
    stream_id = wire.call(bytes(1000), grpc_timeout=b"5S")
    (connection,) = server.connections
    await until(lambda: connection.unsent == 1005)
    await clock.advance(6)
    await wire.until(StreamReset, stream_id=stream_id)
    assert connection.unsent == 0


async def test_opening_the_window_bit_by_bit_is_no_way_round_it(
    wire: Wire, server: Server, echo: Echo, clock: FakeClock
) -> None:
    shut(wire)
    stream_id = wire.call(bytes(1000), path=WATCH)
    (connection,) = server.connections
    await until(lambda: connection.unsent == 1005)
    for _ in range(175):
        wire.h2.increment_flow_control_window(1, stream_id)
        wire.flush()
        await clock.advance(1)
    await until(lambda: connection.unsent == 0)
    assert echo.push.done


# -- the client ----------------------------------------------------------------------------


async def test_a_response_that_has_begun_must_come_in_time(folder: Path, clock: FakeClock) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        head = b"\x88" + frames.literal(b"content-type", b"application/grpc")
        writer.write(frame(4, 0, 0) + frame(1, END_HEADERS, 1, head))
        writer.write(frame(0, 0, 1, b"\0\0\0\0\x05h"))
        while await reader.read(65536):
            pass
        writer.close()

    listener = await asyncio.start_unix_server(answer, folder / "m")
    async with Channel(f"unix:{folder / 'm'}", clock=clock, limits=LIMITS) as channel:
        call: Any = Stub(channel).Plain(b"x")
        await until(lambda: channel._connection is not None and channel._connection.awaited)
        await clock.advance(79)
        assert not call.done()
        await clock.advance(12)
        with pytest.raises(RpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        connection = channel._connection
        assert connection is not None
        assert connection.intake.held == connection.awaited == 0
    listener.close()
