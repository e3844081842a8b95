"""Our channel, with grpcio's own server and with ours."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from finial.api.grpc import health_pb2, health_pb2_grpc
from finial.runtime.clock import SystemClock
from finial.runtime.rpc import Channel, Limits, OpenGate, RpcError, Server
from finial.runtime.rpc.dial import Target
from finial.runtime.rpc.metadata import MetadataError
from tests.fakes.clock import FakeClock
from tests.runtime.rpc.echo import Echo, Stub
from tests.runtime.rpc.wire import until

MIB = 1024 * 1024


@pytest.fixture(params=["ours", "grpcio"])
async def other(request: pytest.FixtureRequest, folder: Path, echo: Echo) -> AsyncIterator[str]:
    """A server of either make; gives its target."""
    target = f"unix:{folder / 'o'}"
    if request.param == "ours":
        server = Server(clock=SystemClock(), gate=OpenGate())
        echo.register(server)
        await server.listen_unix(folder / "o", mode=0o600)
        yield target
        await server.drain(0)
    else:
        theirs = grpc.aio.server()
        echo.register(theirs)
        theirs.add_insecure_port(target)
        await theirs.start()
        yield target
        await theirs.stop(0)


@pytest.fixture
async def stub(other: str) -> AsyncIterator[Stub]:
    async with Channel(other, clock=SystemClock()) as channel:
        yield Stub(channel)


async def words() -> AsyncIterator[bytes]:
    for word in (b"one", b"", b"three"):
        yield word


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * MIB])
async def test_unary_calls(stub: Stub, size: int) -> None:
    request = bytes(size)
    assert await stub.Later(request, timeout=10) == request


async def test_all_four_kinds(stub: Stub) -> None:
    assert [answer async for answer in stub.Count(b"3")] == [b"0", b"1", b"2"]
    assert [answer async for answer in stub.Count(b"0")] == []
    assert await stub.Total(words()) == b"8"
    assert await stub.Total(iter([b"a", b"b"])) == b"2"
    assert [answer async for answer in stub.Chat(words())] == [b"ONE", b"", b"THREE"]


async def test_a_stream_goes_both_ways_at_once(stub: Stub) -> None:
    call = stub.Chat()
    for word in (b"a", b"b"):
        await call.write(word)
        assert await call.read() == word.upper()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_metadata_travels_both_ways(stub: Stub) -> None:
    sent = (("x-a", "1"), ("x-b-bin", b"\0\xff"))
    call = stub.Metadata(b"", metadata=sent)
    assert await call.initial_metadata() == sent
    assert await call == b""
    assert ("t-x-b-bin", b"\0\xff") in await call.trailing_metadata()


async def test_an_error_carries_its_message_and_metadata(stub: Stub) -> None:
    with pytest.raises(RpcError) as caught:
        await stub.Abort("wörd\n".encode())
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert caught.value.details() == "wörd\n"
    assert caught.value.trailing_metadata() == (("why", "so"),)
    with pytest.raises(RpcError, match="UNIMPLEMENTED"):
        await stub.Nope(b"")


async def test_details_are_unpacked(server: Server, target: str) -> None:  # noqa: ARG001
    async with Channel(target, clock=SystemClock()) as channel:
        with pytest.raises(RpcError) as caught:
            await Stub(channel).Refuse(b"")
    (detail,) = caught.value.status_details()
    value = StringValue()
    detail.Unpack(value)
    assert value.value == "why"


@pytest.mark.usefixtures("server")
async def test_an_error_ends_a_stream_after_its_messages(target: str, echo: Echo) -> None:
    from finial.runtime.rpc import StatusError

    async with Channel(target, clock=SystemClock()) as channel:
        call = Stub(channel).Watch(b"first")
        answers = aiter(call)
        assert await anext(answers) == b"first"
        echo.push.close(StatusError(grpc.StatusCode.OUT_OF_RANGE, "enough"))
        with pytest.raises(RpcError, match="enough"):
            await anext(answers)


async def test_a_deadline_ends_the_call_on_both_sides(stub: Stub, echo: Echo) -> None:
    call = stub.Hang(b"", timeout=0.2)
    with pytest.raises(RpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await echo.cancelled.wait()


@pytest.mark.usefixtures("server")
async def test_a_deadline_counts_on_the_injected_clock(target: str, echo: Echo) -> None:
    clock = FakeClock()
    async with Channel(target, clock=clock) as channel:
        call = Stub(channel).Hang(b"", timeout=1000)
        await echo.started.wait()
        assert call.time_remaining() == 1000
        await clock.advance(1000)
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await echo.cancelled.wait()


async def test_cancelling_the_waiting_task_cancels_the_call(stub: Stub, echo: Echo) -> None:
    async def wait() -> None:
        await stub.Hang(b"")

    task = asyncio.ensure_future(wait())
    await echo.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await echo.cancelled.wait()


async def test_leaving_a_stream_cancels_it(stub: Stub, echo: Echo) -> None:
    stream = aiter(stub.Flood(b"10"))
    async for message in stream:
        assert message == bytes(10)
        break
    await stream.aclose()
    await echo.cancelled.wait()


async def test_a_cancelled_call_says_so(stub: Stub, echo: Echo) -> None:
    call = stub.Hang(b"")
    await echo.started.wait()
    assert call.cancel()
    assert not call.cancel()
    assert call.cancelled()
    assert await call.code() is grpc.StatusCode.CANCELLED
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_failing_request_iterator_fails_the_call(stub: Stub) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise ValueError("secret")

    with pytest.raises(RpcError, match="request failed: ValueError") as caught:
        await stub.Total(broken())
    assert "secret" not in str(caught.value)


async def test_too_long_an_answer_is_refused(other: str) -> None:
    limits = Limits(max_receive_message=1000)
    async with Channel(other, clock=SystemClock(), limits=limits) as channel:
        stub = Stub(channel)
        with pytest.raises(RpcError, match="larger than max") as caught:
            await stub.Later(bytes(1001))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await stub.Later(bytes(1000)) == bytes(1000)


async def test_a_slow_reader_holds_the_server_back(stub: Stub, echo: Echo) -> None:
    call = stub.Flood(b"%d" % (100 * 1024))
    assert len(await call.read()) == 100 * 1024
    before = -1
    while before != echo.sent:
        before = echo.sent
        await asyncio.sleep(0.05)
    assert echo.sent < 60
    for _ in range(200):
        await call.read()
    assert echo.sent >= 200
    call.cancel()


async def test_a_server_that_does_not_read_holds_the_writer_back(stub: Stub, echo: Echo) -> None:
    call = stub.Unread()
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            await call.write(bytes(100 * 1024))
            written += 1

    task = asyncio.ensure_future(write())
    await echo.started.wait()
    before = -1
    while before != written:
        before = written
        await asyncio.sleep(0.05)
    assert written < 100
    call.cancel()
    with pytest.raises(RpcError):
        await task


async def test_many_calls_share_a_connection(stub: Stub) -> None:
    answers = await asyncio.gather(*(stub.Later(b"%d" % n) for n in range(300)))
    assert answers == [b"%d" % n for n in range(300)]


async def test_calls_beyond_the_servers_limit_wait_their_turn(folder: Path, echo: Echo) -> None:
    server = Server(clock=SystemClock(), gate=OpenGate(), limits=Limits(max_concurrent_streams=3))
    echo.register(server)
    await server.listen_unix(folder / "l", mode=0o600)
    async with Channel(f"unix:{folder / 'l'}", clock=SystemClock()) as channel:
        stub = Stub(channel)
        await stub.Plain(b"settings known")
        calls = [stub.Later(b"%d" % n) for n in range(50)]
        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(50)]
    await server.drain(0)


async def test_generated_stubs_work_unchanged(folder: Path) -> None:
    class Health(health_pb2_grpc.HealthServicer):
        async def Check(self, request: Any, context: Any) -> Any:  # noqa: ARG002
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    server = Server(clock=SystemClock(), gate=OpenGate())
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    await server.listen_unix(folder / "h", mode=0o600)
    async with Channel(f"unix:{folder / 'h'}", clock=SystemClock()) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    await server.drain(0)


async def test_nobody_there_is_unavailable_and_says_why(folder: Path) -> None:
    async with Channel(f"unix:{folder / 'none'}", clock=SystemClock()) as channel:
        with pytest.raises(RpcError, match=r"cannot connect to unix:.*No such file") as caught:
            await Stub(channel).Plain(b"")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    async with Channel("127.0.0.1:1", clock=SystemClock()) as channel:
        with pytest.raises(RpcError, match=r"cannot connect to 127.0.0.1:1: ") as caught:
            await Stub(channel).Plain(b"")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_that_never_answers_is_given_up() -> None:
    clock = FakeClock()
    listener = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    import socket

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", port))
        deaf.listen(0)
        with socket.socket() as filler, socket.socket() as filler2:
            for sock in (filler, filler2):
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", port))
            async with Channel(f"127.0.0.1:{port}", clock=clock) as channel:
                call = asyncio.ensure_future(Stub(channel).Plain(b"").code())
                await clock.advance(21)
                assert await call is grpc.StatusCode.UNAVAILABLE


async def test_a_lost_connection_is_made_again(folder: Path, echo: Echo) -> None:
    async with Channel(f"unix:{folder / 's'}", clock=SystemClock()) as channel:
        stub = Stub(channel)
        for _ in range(3):
            server = Server(clock=SystemClock(), gate=OpenGate())
            echo.register(server)
            await server.listen_unix(folder / "s", mode=0o600)
            assert await stub.Plain(b"again") == b"again"
            hanging = stub.Hang(b"")
            await echo.started.wait()
            for connection in server.connections:
                connection.abort()
            assert await hanging.code() is grpc.StatusCode.UNAVAILABLE
            assert await stub.Plain(b"at once") == b"at once"
            await server.drain(0)


async def test_after_goaway_old_calls_end_here_and_new_ones_begin_elsewhere(
    server: Server, target: str, echo: Echo
) -> None:
    async with Channel(target, clock=SystemClock()) as channel:
        stub = Stub(channel)
        watching = stub.Watch(b"first")
        assert await watching.read() == b"first"
        (old,) = server.connections
        old.drain()
        push = echo.push
        for number in range(20):
            assert await stub.Plain(b"%d" % number) == b"%d" % number
            await asyncio.sleep(0)
        assert len(server.connections) == 2
        push.send(b"still here")
        assert await watching.read() == b"still here"
        push.close()
        assert await watching.read() is grpc.aio.EOF
        await until(lambda: old not in server.connections)


async def test_reconnecting_by_wish_leaves_calls_alone(
    server: Server, target: str, echo: Echo
) -> None:
    async with Channel(target, clock=SystemClock()) as channel:
        stub = Stub(channel)
        watching = stub.Watch(b"first")
        assert await watching.read() == b"first"
        channel.reconnect()
        assert await stub.Plain(b"new") == b"new"
        assert len(server.connections) == 2
        echo.push.send(b"old")
        assert await watching.read() == b"old"
        watching.cancel()


class Moody:
    """A server by hand: refuses the first streams, in one way or another, then answers."""

    def __init__(self, how: str, times: int) -> None:
        self.how, self.times = how, times
        self.requests = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        h2 = H2Connection(config)
        h2.initiate_connection()
        writer.write(h2.data_to_send())
        try:
            while data := await reader.read(65536):
                for event in h2.receive_data(data):
                    if isinstance(event, StreamEnded) and event.stream_id:
                        self.answer(h2, event.stream_id)
                    assert isinstance(event, (RequestReceived, StreamEnded, StreamReset, object))
                writer.write(h2.data_to_send())
        except (ConnectionError, ProtocolError):
            pass  # the client may still speak on a connection that was closed to it
        writer.close()

    def answer(self, h2: H2Connection, stream_id: int) -> None:
        self.requests += 1
        self.times -= 1
        if self.times >= 0 and self.how == "goaway":
            h2.close_connection(last_stream_id=stream_id - 2 if stream_id > 1 else 0)
        elif self.times >= 0 and self.how == "refused":
            h2.reset_stream(stream_id, 7)
        elif self.times >= 0 and self.how == "cancelled":
            h2.reset_stream(stream_id, 8)
        elif self.times >= 0 and self.how == "html":
            h2.send_headers(stream_id, [(":status", "200"), ("content-type", "text/html")])
            h2.send_data(stream_id, b"<html>", end_stream=True)
        elif self.times >= 0 and self.how == "503":
            h2.send_headers(stream_id, [(":status", "503")], end_stream=True)
        elif self.times >= 0 and self.how == "no status":
            fields = [(":status", "200"), ("content-type", "application/grpc")]
            h2.send_headers(stream_id, fields)
            h2.send_data(stream_id, b"\0\0\0\0\2ok", end_stream=True)
        elif self.times >= 0 and self.how == "two answers":
            fields = [(":status", "200"), ("content-type", "application/grpc")]
            h2.send_headers(stream_id, fields)
            h2.send_data(stream_id, b"\0\0\0\0\2ok" * 2)
            h2.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)
        elif self.times >= 0 and self.how == "compressed":
            fields = [(":status", "200"), ("content-type", "application/grpc")]
            h2.send_headers(stream_id, [*fields, ("grpc-encoding", "gzip")])
        elif self.times >= 0 and self.how == "broken":
            h2._data_to_send += b"\0\0\1\0\1\0\0\0\0x"
        else:
            fields = [(":status", "200"), ("content-type", "application/grpc")]
            h2.send_headers(stream_id, fields)
            h2.send_data(stream_id, b"\0\0\0\0\2ok")
            h2.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)


@pytest.mark.parametrize("how", ["goaway", "refused"])
async def test_a_stream_that_was_not_looked_at_is_tried_once_more(folder: Path, how: str) -> None:
    moody = Moody(how, 1)
    listener = await asyncio.start_unix_server(moody, folder / "m")
    async with Channel(f"unix:{folder / 'm'}", clock=SystemClock()) as channel:
        assert await Stub(channel).Plain(b"", timeout=5) == b"ok"
        assert moody.requests == 2
        moody.times = 2
        with pytest.raises(RpcError) as caught:
            await Stub(channel).Plain(b"", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert moody.requests == 4
    listener.close()


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("html", grpc.StatusCode.UNKNOWN),
        ("503", grpc.StatusCode.UNAVAILABLE),
        ("no status", grpc.StatusCode.INTERNAL),
        ("two answers", grpc.StatusCode.INTERNAL),
        ("compressed", grpc.StatusCode.INTERNAL),
        ("broken", grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_answers_that_are_not_grpc_have_a_code(
    folder: Path, how: str, code: grpc.StatusCode
) -> None:
    moody = Moody(how, 1)
    listener = await asyncio.start_unix_server(moody, folder / "m")
    async with Channel(f"unix:{folder / 'm'}", clock=SystemClock()) as channel:
        with pytest.raises(RpcError) as caught:
            await Stub(channel).Plain(b"", timeout=5)
        assert caught.value.code() is code
        assert await Stub(channel).Plain(b"", timeout=5) == b"ok"
    listener.close()


async def test_a_message_with_spaces_at_its_ends_is_a_message(folder: Path) -> None:
    class Spacious(Moody):
        def answer(self, h2: H2Connection, stream_id: int) -> None:
            status = [("grpc-status", "5"), ("grpc-message", " gone: ")]
            fields = [(":status", "200"), ("content-type", "application/grpc"), *status]
            h2.send_headers(stream_id, fields, end_stream=True)

    listener = await asyncio.start_unix_server(Spacious("", 0), folder / "m")
    async with Channel(f"unix:{folder / 'm'}", clock=SystemClock()) as channel:
        with pytest.raises(RpcError, match="NOT_FOUND: gone:"):
            await Stub(channel).Plain(b"", timeout=5)
    listener.close()


class LateClock(FakeClock):
    """Its time has passed, but nobody who sleeps on it has been woken yet."""

    late = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.late


@pytest.mark.parametrize(
    ("late", "code"),
    [(4.0, grpc.StatusCode.CANCELLED), (5.0, grpc.StatusCode.DEADLINE_EXCEEDED)],
)
async def test_a_server_that_cancels_at_the_deadline_is_not_taken_for_another_canceller(
    folder: Path, late: float, code: grpc.StatusCode
) -> None:
    clock = LateClock()

    class Punctual(Moody):
        def answer(self, h2: H2Connection, stream_id: int) -> None:
            clock.late = late
            super().answer(h2, stream_id)

    listener = await asyncio.start_unix_server(Punctual("cancelled", 1), folder / "m")
    async with Channel(f"unix:{folder / 'm'}", clock=clock) as channel:
        with pytest.raises(RpcError) as caught:
            await Stub(channel).Plain(b"", timeout=5)
        assert caught.value.code() is code
    listener.close()


async def test_closing_ends_calls_and_leaves_no_task(
    server: Server, target: str, echo: Echo
) -> None:
    before = len(asyncio.all_tasks())
    channel = Channel(target, clock=SystemClock())
    call = Stub(channel).Hang(b"", timeout=100)
    await echo.started.wait()
    await channel.close()
    assert await call.code() is grpc.StatusCode.CANCELLED
    with pytest.raises(RpcError, match="the channel is closed"):
        await Stub(channel).Plain(b"")
    await until(lambda: not server.connections)
    await server.drain(0)
    assert len(asyncio.all_tasks()) <= before


async def test_metadata_that_cannot_travel_is_refused_at_once(other: str) -> None:
    async with Channel(other, clock=SystemClock()) as channel:
        with pytest.raises(MetadataError):
            Stub(channel).Plain(b"", metadata=(("te", "x"),))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("unix:/a/b", Target("localhost", 0, "/a/b")),
        ("unix:///a/b", Target("localhost", 0, "/a/b")),
        ("example.org:8081", Target("example.org", 8081, "")),
        ("[::1]:8081", Target("::1", 8081, "")),
    ],
)
def test_targets_are_read(text: str, target: Target) -> None:
    assert Target.parse(text) == target


@pytest.mark.parametrize("text", ["", "example.org", ":1", "a:0", "a:65536", "a:b", "/a/b"])
def test_other_targets_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither unix:/path nor host:port"):
        Target.parse(text)


async def test_a_server_that_hangs_up_at_once_is_not_dialled_for_ever(folder: Path) -> None:
    accepted = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        writer.transport.abort()

    listener = await asyncio.start_unix_server(hang_up, folder / "u")
    async with Channel(f"unix:{folder / 'u'}", clock=SystemClock()) as channel:
        with pytest.raises(RpcError) as caught:
            await Stub(channel).Plain(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert accepted == 1
    listener.close()
