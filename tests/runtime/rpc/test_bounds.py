"""Our server and peers that are slow, wrong, or gone."""

import asyncio
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import Limits, OpenGate, Server
from finial.runtime.rpc.framing import MessageReader
from finial.runtime.rpc.stream import Stream
from tests.fakes.clock import FakeClock, settle
from tests.runtime.rpc.echo import Echo, Stub
from tests.runtime.rpc.wire import Wire, request, until

MIB = 1024 * 1024


@pytest.fixture
async def wire(server: Server, folder: Path) -> AsyncIterator[Wire]:  # noqa: ARG001
    wire = await Wire.connect(folder / "s")
    yield wire
    wire.close()


def serving(echo: Echo, clock: FakeClock, **limits: float | None) -> Server:
    server = Server(clock=clock, gate=OpenGate(), limits=Limits(**limits))  # type: ignore[arg-type]
    echo.register(server)
    return server


class Spy:
    """Notes that a stream was given its turn."""

    def __init__(self, stream: Stream, pumped: list[int]) -> None:
        self.stream_id = stream.stream_id
        self._stream, self._pumped = stream, pumped

    def pump(self) -> None:
        self._pumped.append(self.stream_id)
        self._stream.pump()


async def code_of(wire: Wire, stream_id: int) -> str:
    """Return the status of a call that ends without an answer."""
    event = await wire.until(ResponseReceived, stream_id=stream_id)
    status: bytes = dict(event.headers)[b"grpc-status"]
    return status.decode()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 50,
        b"P" * 3,
    ],
)
async def test_garbage_ends_its_own_connection_only(
    folder: Path, wire: Wire, garbage: bytes
) -> None:
    bad = await Wire.connect(folder / "s", greet=False)
    bad.send(garbage)
    if garbage == b"PPP":
        bad.writer.write_eof()
    await bad.closed()
    stream_id = wire.call(b"fine")
    data = await wire.until(DataReceived, stream_id=stream_id)
    assert data.data == b"\0\0\0\0\4fine"


@pytest.mark.parametrize(
    "frame",
    [
        b"\0\0\1\0\1\0\0\0\0x",  # DATA on stream 0
        b"\0\0\1\0\1\0\0\0\x09x",  # DATA on a stream never opened
        b"\0\0\4\x08\0\0\0\0\0\0\0\0\0",  # WINDOW_UPDATE by nothing
        b"\0\0\3\x08\0\0\0\0\0\0\0\0",  # WINDOW_UPDATE too short
        b"\0\0\4\x08\0\0\0\0\0\x7f\xff\xff\xff",  # WINDOW_UPDATE past the largest window
        b"\0\0\4\3\0\0\0\0\x09\0\0\0\0",  # RST_STREAM of a stream never opened
        b"\0\0\7\6\0\0\0\0\0" + bytes(7),  # PING too short
        b"\0\0\x08\6\0\0\0\0\1" + bytes(8),  # PING on a stream
        b"\xff\0\0\0\0\0\0\0\1",  # a frame that is too long
        b"\0\0\1\1\5\0\0\0\2\x88",  # a request on an even stream
        b"\0\0\1\1\5\0\0\0\1\xff",  # a header block that is cut off
        b"\0\0\1\1\5\0\0\0\1\xbf",  # a header field that is not in the table
        b"\0\0\0\x09\4\0\0\0\1",  # CONTINUATION of nothing
        b"\0\0\6\4\0\0\0\0\0\0\4\xff\xff\xff\xff",  # SETTINGS with a window too large
        b"\0\0\5\5\4\0\0\0\1\0\0\0\2\x88",  # PUSH_PROMISE from a client
    ],
)
async def test_broken_http2_is_answered_with_goaway(wire: Wire, frame: bytes) -> None:
    await wire.until(DataReceived, stream_id=wire.call(b"x"))
    if frame[3] in (0, 3) and frame[8] == 9:
        frame = frame[:8] + b"\x63" + frame[9:]
    if frame[3] == 1 and frame[8] == 1:
        frame = frame[:8] + b"\x03" + frame[9:]
    wire.send(frame)
    out = await wire.closed()
    assert b"\x07\0\0\0\0\0" in out  # GOAWAY on stream 0


@pytest.mark.parametrize(
    "extra",
    [
        (b"X-Upper", b"v"),
        (b"x", b"a\r\nb"),
        (b"x", b"\0"),
        (b"x", b" padded"),
        (b"connection", b"close"),
        (b"te", b"gzip"),
        (b":path", b"/twice"),
        (b"content-length", b"x"),
        (b"", b"v"),
    ],
)
async def test_malformed_header_fields_are_refused(
    wire: Wire, echo: Echo, extra: tuple[bytes, bytes]
) -> None:
    await wire.until(DataReceived, stream_id=wire.call(b"first"))
    wire.h2.send_headers(3, [*request(), extra], end_stream=True)
    wire.flush()
    assert b"\x07\0\0\0\0\0" in await wire.closed()
    assert len(echo.contexts) == 1


async def test_a_body_of_another_length_than_announced_is_refused(wire: Wire, echo: Echo) -> None:
    await wire.until(DataReceived, stream_id=wire.call(b"first"))
    wire.call(b"second", content_length=b"3")
    assert b"\x07\0\0\0\0\0" in await wire.closed()
    assert len(echo.contexts) == 1


async def test_more_than_the_window_is_refused(server: Server, folder: Path, echo: Echo) -> None:  # noqa: ARG001
    wire = await Wire.connect(folder / "s")
    wire.call(None, end=False, path=b"/test.Echo/Unread")
    await echo.started.wait()
    frame = b"\0\x40\0\0\0\0\0\0\1" + b"\0\0\0\0\0" + bytes(16384 - 5)
    wire.send(frame * 17)  # 272 KiB into a window of 256
    assert b"\x07\0\0\0\0\0" in await wire.closed()


async def test_other_content_types_get_415(wire: Wire) -> None:
    for kind in (b"text/html", b"application/grpc-web", b"application/grpcx", None):
        stream_id = wire.call(b"x", content_type=kind)
        event = await wire.until(ResponseReceived, stream_id=stream_id)
        assert dict(event.headers)[b":status"] == b"415"
    for kind in (b"application/grpc", b"application/grpc+proto", b"application/grpc;x=y"):
        await wire.until(DataReceived, stream_id=wire.call(b"x", content_type=kind))


async def test_other_methods_get_405(wire: Wire) -> None:
    event = await wire.until(ResponseReceived, stream_id=wire.call(b"x", method=b"GET"))
    assert dict(event.headers)[b":status"] == b"405"


async def test_requests_that_are_no_call_get_a_status(wire: Wire) -> None:
    assert await code_of(wire, wire.call(None)) == "13"  # no message
    assert await code_of(wire, wire.call(b"x", grpc_timeout=b"soon")) == "13"
    assert await code_of(wire, wire.call(b"x", grpc_encoding=b"gzip")) == "12"
    assert await code_of(wire, wire.call(b"x", path=b"nowhere")) == "12"
    assert await code_of(wire, wire.call(b"x", path=b"/")) == "12"
    stream_id = wire.call(None, end=False)
    wire.h2.send_data(stream_id, b"\0\0\0\0\1a\0\0\0\0\1b", end_stream=True)
    wire.flush()
    assert await code_of(wire, stream_id) == "13"  # two messages
    stream_id = wire.call(None, end=False)
    wire.h2.send_data(stream_id, b"\0\0\0\0\5a", end_stream=True)
    wire.flush()
    assert await code_of(wire, stream_id) == "13"  # half a message


async def test_a_compression_that_we_lack_is_answered_with_ours(wire: Wire) -> None:
    stream_id = wire.call(b"x", grpc_encoding=b"gzip")
    event = await wire.until(ResponseReceived, stream_id=stream_id)
    assert dict(event.headers)[b"grpc-accept-encoding"] == b"identity"


async def test_a_message_in_pieces_is_one_message(wire: Wire) -> None:
    stream_id = wire.call(None, end=False)
    for byte in b"\0\0\0\0\5hello":
        wire.h2.send_data(stream_id, bytes((byte,)))
        wire.flush()
    wire.h2.end_stream(stream_id)
    wire.flush()
    assert (await wire.until(DataReceived, stream_id=stream_id)).data == b"\0\0\0\0\5hello"


async def test_padding_priority_continuation_and_trailers_are_understood(wire: Wire) -> None:
    fields = [*request(), (b"x-long", b"v" * 12_000)]
    wire.h2.max_outbound_frame_size = 4000
    wire.h2.send_headers(1, fields)
    wire.h2.send_data(1, b"\0\0\0\0\2hi", pad_length=20)
    wire.h2.send_headers(1, [(b"x-trailer", b"v")], end_stream=True)
    wire.h2.send_headers(3, request(), priority_weight=7)
    wire.h2.send_data(3, b"\0\0\0\0\2ho", end_stream=True)
    wire.flush()
    assert (await wire.until(DataReceived, stream_id=1)).data == b"\0\0\0\0\2hi"
    assert (await wire.until(DataReceived, stream_id=3)).data == b"\0\0\0\0\2ho"


async def test_pings_are_answered_with_their_data(wire: Wire) -> None:
    wire.h2.ping(b"12345678")
    wire.flush()
    assert (await wire.until(PingAckReceived)).ping_data == b"12345678"


@pytest.mark.usefixtures("server")
async def test_a_reader_that_stops_makes_the_handler_wait(folder: Path, echo: Echo) -> None:
    wire = await Wire.connect(folder / "s")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stream_id = wire.call(b"%d" % MIB, path=b"/test.Echo/Flood")
    await wire.until(ResponseReceived, stream_id=stream_id)
    for _ in range(200):
        await asyncio.sleep(0)
    assert echo.sent == 0
    await wire.until(DataReceived, stream_id=stream_id)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30 * 1024
    wire.close()
    await echo.cancelled.wait()


async def test_an_open_window_over_a_full_socket_makes_the_handler_wait(
    server: Server,
    folder: Path,
    echo: Echo,
) -> None:
    wire = await Wire.connect(folder / "s")
    wire.h2.increment_flow_control_window(2**30)
    stream_id = wire.call(b"%d" % MIB, end=False, path=b"/test.Echo/Flood")
    wire.h2.increment_flow_control_window(2**30, stream_id)
    wire.h2.end_stream(stream_id)
    wire.flush()
    await settle()
    for _ in range(200):
        await asyncio.sleep(0)
    assert echo.sent < 10
    (connection,) = server.connections
    assert connection.transport is not None
    assert connection.transport.get_write_buffer_size() < MIB
    wire.close()
    await echo.cancelled.wait()


async def test_a_handler_that_does_not_read_keeps_the_window_shut(wire: Wire, echo: Echo) -> None:
    stream_id = wire.call(None, end=False, path=b"/test.Echo/Unread")
    await echo.started.wait()
    wire.h2.ping(b"settings")
    wire.flush()
    await wire.until(PingAckReceived)
    sent = 0
    message = b"\0\0\0\x0f\xfb" + bytes(4091)
    while wire.h2.local_flow_control_window(stream_id) >= len(message):
        wire.h2.send_data(stream_id, message)
        sent += len(message)
    wire.flush()
    wire.h2.ping(b"12345678")
    wire.flush()
    await wire.until(PingAckReceived, ping_data=b"12345678")
    assert wire.h2.local_flow_control_window(stream_id) == Limits().stream_window - sent
    # Another stream of the connection is not held up by it.
    other = wire.call(bytes(1000))
    assert len((await wire.until(DataReceived, stream_id=other)).data) == 1005


async def test_only_the_newest_message_waits_for_a_slow_watcher(wire: Wire, echo: Echo) -> None:
    stream_id = wire.call(b"first", path=b"/test.Echo/Watch")
    await wire.until(DataReceived, stream_id=stream_id)
    for number in range(100):
        echo.push.send(b"%d" % number + bytes(60_000))
    reader, messages = MessageReader(100_000), list[bytes]()
    while len(messages) < 3:
        event = await wire.until(DataReceived, stream_id=stream_id)
        wire.h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
        wire.flush()
        messages += reader.feed(event.data)
    # What was under way when the window closed, and the newest: nothing in between.
    assert [message.rstrip(b"\0") for message in messages] == [b"0", b"1", b"99"]


async def test_streams_above_the_limit_are_refused_one_by_one(folder: Path, echo: Echo) -> None:
    server = serving(echo, FakeClock(), max_concurrent_streams=2)
    await server.listen_unix(folder / "l", mode=0o600)
    wire = await Wire.connect(folder / "l")
    for _ in range(2):
        await wire.until(ResponseReceived, stream_id=wire.call(b"x", path=b"/test.Echo/Watch"))
    wire.h2.remote_settings.max_concurrent_streams = 100
    wire.h2.remote_settings.acknowledge()
    refused = wire.call(None, end=False)
    assert (await wire.until(StreamReset, stream_id=refused)).error_code == 7
    wire.h2.reset_stream(1)
    await wire.until(DataReceived, stream_id=wire.call(b"room again"))
    wire.close()
    await server.drain(0)


async def test_a_window_settled_late_reaches_open_streams(wire: Wire, echo: Echo) -> None:
    wire.h2.update_settings({4: 10})
    wire.flush()
    stream_id = wire.call(bytes(50), path=b"/test.Echo/Watch")
    await wire.until(DataReceived, stream_id=stream_id)
    wire.h2.update_settings({4: 1000})
    wire.flush()
    await wire.until(DataReceived, stream_id=stream_id)
    assert not echo.push.done


async def test_calls_survive_resets_in_any_order(wire: Wire, echo: Echo) -> None:
    for _ in range(1100):
        stream_id = wire.call(b"x", path=b"/test.Echo/Watch")
        wire.h2.reset_stream(stream_id)
        wire.flush()
    await wire.until(DataReceived, stream_id=wire.call(b"end"))
    connection = echo.contexts[-1]._connection
    assert not connection.streams
    assert not connection.engine.streams
    assert len(connection.engine._closed_streams) == Limits().max_concurrent_streams


async def test_a_window_that_frees_no_stream_looks_at_none(wire: Wire, echo: Echo) -> None:
    wire.h2.update_settings({4: 0})
    for _ in range(20):
        wire.call(bytes(50), path=b"/test.Echo/Watch")
    await until(lambda: len(echo.contexts) == 20)
    connection = echo.contexts[-1]._connection
    pumped: list[int] = []
    for waiting in (connection._blocked, connection._shut):
        waiting.update({key: Spy(stream, pumped) for key, stream in waiting.items()})
    wire.h2.increment_flow_control_window(1)
    wire.flush()
    wire.h2.ping(b"8 bytes!")
    wire.flush()
    await wire.until(PingAckReceived)
    assert not pumped
    wire.h2.increment_flow_control_window(7, 5)
    wire.flush()
    assert (await wire.until(DataReceived, stream_id=5)).data == b"\0\0\0\0\x32\0\0"
    assert pumped == [5]


async def test_a_connections_window_goes_round_among_streams(wire: Wire, echo: Echo) -> None:
    full = 65_535
    wire.h2.update_settings({4: 1_000_000})
    first = wire.call(str(full - 5).encode(), path=b"/test.Echo/Flood")
    got = 0
    while got < full:
        got += len((await wire.until(DataReceived, stream_id=first)).data)
    others = [wire.call(bytes(5), path=b"/test.Echo/Watch") for _ in range(3)]
    await until(lambda: len(echo.contexts) == 4)
    for _ in others:
        wire.h2.increment_flow_control_window(20)
        wire.flush()
    for other in others:
        assert len((await wire.until(DataReceived, stream_id=other)).data) == 10


async def test_late_frames_of_a_closed_stream_are_no_error(wire: Wire) -> None:
    stream_id = wire.call(b"x")
    await wire.until(StreamEnded, stream_id=stream_id)
    wire.send(b"\0\0\4\x08\0\0\0\0\1\0\0\0\1" + b"\0\0\4\3\0\0\0\0\1\0\0\0\x08")
    await wire.until(DataReceived, stream_id=wire.call(b"y"))


async def test_a_client_that_still_sends_is_told_to_stop(wire: Wire) -> None:
    stream_id = wire.call(None, end=False, path=b"/test.Echo/Nope")
    assert await code_of(wire, stream_id) == "12"
    assert (await wire.until(StreamReset, stream_id=stream_id)).error_code == 0


async def test_draining_lets_calls_end_and_takes_no_more(folder: Path, echo: Echo) -> None:
    server = serving(echo, FakeClock())
    await server.listen_unix(folder / "d", mode=0o600)
    wire = await Wire.connect(folder / "d")
    stream_id = wire.call(b"x", path=b"/test.Echo/Watch")
    await wire.until(ResponseReceived, stream_id=stream_id)
    draining = asyncio.ensure_future(server.drain(5))
    first = await wire.until(ConnectionTerminated)
    assert first.last_stream_id == 2**31 - 1
    second = await wire.until(ConnectionTerminated)
    assert second.last_stream_id == stream_id
    assert not (folder / "d").exists()
    refused = wire.call(b"late")
    assert (await wire.until(StreamReset, stream_id=refused)).error_code == 7
    echo.push.close()
    await wire.until(TrailersReceived, stream_id=stream_id)
    await draining
    assert not server.connections
    wire.close()


async def test_draining_cuts_what_outlives_the_grace(folder: Path, echo: Echo) -> None:
    clock = FakeClock()
    server = serving(echo, clock)
    await server.listen_unix(folder / "d", mode=0o600)
    async with grpc.aio.insecure_channel(f"unix:{folder / 'd'}") as channel:
        call = Stub(channel).Hang(b"")
        await echo.started.wait()
        draining = asyncio.ensure_future(server.drain(5))
        await clock.advance(4.9)
        assert not draining.done()
        await clock.advance(0.2)
        await draining
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
    assert echo.cancelled.is_set()
    assert not server._tasks


async def test_serve_drains_when_it_is_cancelled(folder: Path, echo: Echo) -> None:
    server = serving(echo, FakeClock())
    await server.listen_unix(folder / "d", mode=0o600)
    task = asyncio.ensure_future(server.serve())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (folder / "d").exists()


async def test_an_old_connection_is_let_go_with_grace(folder: Path, echo: Echo) -> None:
    clock = FakeClock()
    server = serving(
        echo, clock, connection_age=100, connection_age_jitter=0, connection_age_grace=10
    )
    await server.listen_unix(folder / "a", mode=0o600)
    wire = await Wire.connect(folder / "a")
    stream_id = wire.call(b"x", path=b"/test.Echo/Watch")
    await wire.until(ResponseReceived, stream_id=stream_id)
    await clock.advance(101)
    await wire.until(ConnectionTerminated)
    assert not echo.push.done
    await clock.advance(10)
    await wire.closed()
    await echo.cancelled.wait()
    await server.drain(0)


async def test_a_connection_that_says_nothing_is_dropped(folder: Path, echo: Echo) -> None:
    clock = FakeClock()
    server = serving(echo, clock, request_timeout=10)
    await server.listen_unix(folder / "q", mode=0o600)
    silent = await Wire.connect(folder / "q", greet=False)
    idle = await Wire.connect(folder / "q")
    await idle.until(DataReceived, stream_id=idle.call(b"x"))
    await until(lambda: len(server.connections) == 2)
    await clock.advance(1)
    await clock.advance(10)
    await silent.closed()
    await idle.until(DataReceived, stream_id=idle.call(b"y"))
    idle.close()
    await server.drain(0)


async def test_a_silent_peer_is_asked_and_then_given_up(folder: Path, echo: Echo) -> None:
    clock = FakeClock()
    server = serving(echo, clock, keepalive=30, keepalive_timeout=5)
    await server.listen_unix(folder / "k", mode=0o600)
    wire = await Wire.connect(folder / "k")
    await wire.until(ResponseReceived, stream_id=wire.call(b"x", path=b"/test.Echo/Watch"))
    await clock.advance(61)
    await wire.until(DataReceived)
    wire.h2.ping(b"alive...")
    wire.flush()
    await wire.until(PingAckReceived)
    await clock.advance(70)
    await wire.closed()
    await echo.cancelled.wait()
    await server.drain(0)


async def test_a_peer_that_floods_without_reading_is_dropped(server: Server, folder: Path) -> None:
    wire = await Wire.connect(folder / "s")
    ping = b"\0\0\x08\6\0\0\0\0\0" + bytes(8)
    try:
        for _ in range(100):
            wire.send(ping * 4096)
            await wire.writer.drain()
    except ConnectionError:
        pass
    await wire.closed()
    assert not server.connections


async def test_the_server_works_on_the_real_clock_by_default() -> None:
    Server(clock=SystemClock(), gate=OpenGate())
