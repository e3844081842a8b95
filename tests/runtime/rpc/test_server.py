"""Our server, called by grpcio's own client."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2

from finial.api.grpc import health_pb2, health_pb2_grpc
from finial.runtime.clock import SystemClock
from finial.runtime.rpc import OpenGate, Server, StatusError, UnixCaller
from tests.runtime.rpc.echo import Echo, Stub
from tests.runtime.rpc.wire import Wire, until


@pytest.fixture
async def stub(server: Server, target: str) -> AsyncIterator[Stub]:  # noqa: ARG001
    async with grpc.aio.insecure_channel(target) as channel:
        yield Stub(channel)


async def error_of(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 70_000, 4 * 1024 * 1024 - 100])
async def test_unary_calls_answer_at_once_or_later(stub: Stub, size: int) -> None:
    request = bytes(size)
    assert await stub.Plain(request) == request
    assert await stub.Later(request) == request


async def test_all_four_kinds(stub: Stub) -> None:
    async def requests() -> AsyncIterator[bytes]:
        for word in (b"one", b"", b"three"):
            yield word

    assert [answer async for answer in stub.Count(b"3")] == [b"0", b"1", b"2"]
    assert [answer async for answer in stub.Count(b"0")] == []
    assert await stub.Total(requests()) == b"8"
    assert [answer async for answer in stub.Chat(requests())] == [b"ONE", b"", b"THREE"]


async def test_a_stream_goes_both_ways_at_once(stub: Stub) -> None:
    call = stub.Chat()
    for word in (b"a", b"b"):
        await call.write(word)
        assert await call.read() == word.upper()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_many_calls_share_a_connection(stub: Stub, server: Server) -> None:
    answers = await asyncio.gather(*(stub.Later(b"%d" % n) for n in range(300)))
    assert answers == [b"%d" % n for n in range(300)]
    assert len(server.connections) == 1


async def test_metadata_travels_both_ways(stub: Stub) -> None:
    call = stub.Metadata(b"", metadata=(("x-a", "1"), ("x-b-bin", b"\0\xff"), ("x-a", "2")))
    await call
    initial = tuple(await call.initial_metadata())
    assert sorted(initial, key=str) == [("x-a", "1"), ("x-a", "2"), ("x-b-bin", b"\0\xff")]
    assert ("t-x-b-bin", b"\0\xff") in tuple(await call.trailing_metadata())


async def test_a_refusal_carries_its_message_and_details(stub: Stub) -> None:
    error = await error_of(stub.Refuse(b""))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert error.details() == "no: 100% ünicode\n"
    raw = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status: Any = status_pb2.Status.FromString(raw)
    assert status.code == 7
    assert status.details[0].TypeName() == "google.protobuf.StringValue"


async def test_abort_ends_a_call_with_trailing_metadata(stub: Stub) -> None:
    error = await error_of(stub.Abort(b"why not"))
    assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "why not")
    assert ("why", "so") in tuple(error.trailing_metadata())


async def test_a_crash_tells_the_client_nothing_but_an_id(
    stub: Stub, echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    error = await error_of(stub.Crash(b"word"))
    correlation_id = echo.contexts[-1].correlation_id
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == f"internal error, correlation id {correlation_id}"
    assert correlation_id in caplog.records[-1].getMessage()


async def test_unknown_methods_are_unimplemented(server: Server, target: str) -> None:  # noqa: ARG001
    async with grpc.aio.insecure_channel(target) as channel:
        nowhere: Any = channel.unary_unary("/test.Nope/A")
        error = await error_of(nowhere(b""))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert error.details() == "unknown service test.Nope"
        error = await error_of(Stub(channel).Nope(b""))
        assert error.details() == "unknown method Nope for service test.Echo"


async def test_compressed_requests_are_unimplemented(server: Server, target: str) -> None:  # noqa: ARG001
    async with grpc.aio.insecure_channel(target, compression=grpc.Compression.Gzip) as channel:
        error = await error_of(Stub(channel).Plain(bytes(1000)))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "grpc-encoding 'gzip'" in (error.details() or "")


async def test_generated_servicers_and_stubs_work_unchanged(folder: Path) -> None:
    class Health(health_pb2_grpc.HealthServicer):
        def Check(self, request: Any, context: Any) -> Any:  # noqa: ARG002
            if request.service:
                raise StatusError(grpc.StatusCode.NOT_FOUND, "unknown service")
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    server = Server(clock=SystemClock(), gate=OpenGate())
    health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
    await server.listen_unix(folder / "h", mode=0o600)
    async with grpc.aio.insecure_channel(f"unix:{folder / 'h'}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        error = await error_of(stub.Check(health_pb2.HealthCheckRequest(service="x")))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        error = await error_of(stub.List(health_pb2.HealthListRequest()))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert error.details() == "Method not implemented!"
    await server.drain(0)


async def test_a_deadline_stops_the_handler(stub: Stub, echo: Echo) -> None:
    error = await error_of(stub.Hang(b"", timeout=0.1))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await echo.cancelled.wait()
    assert 0 <= echo.contexts[-1].time_remaining() <= 0.1


async def test_a_cancelled_call_stops_the_handler(stub: Stub, echo: Echo) -> None:
    call = stub.Hang(b"")
    await echo.started.wait()
    call.cancel()
    await echo.cancelled.wait()
    assert echo.contexts[-1].cancelled()


async def test_a_client_that_goes_away_stops_the_handler(
    echo: Echo, server: Server, folder: Path
) -> None:
    wire = await Wire.connect(folder / "s")
    wire.call(b"", path=b"/test.Echo/Hang")
    await echo.started.wait()
    wire.close()
    await echo.cancelled.wait()
    await until(lambda: not server.connections)


async def test_too_long_a_message_is_refused_and_the_connection_stays(
    stub: Stub, server: Server
) -> None:
    error = await error_of(stub.Plain(bytes(4 * 1024 * 1024 + 1)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "received message larger than max (4194305 vs. 4194304)"
    assert await stub.Plain(b"still here") == b"still here"
    assert len(server.connections) == 1


async def test_the_callers_credentials_are_known(stub: Stub, echo: Echo) -> None:
    import os

    await stub.Plain(b"")
    caller = echo.contexts[-1].caller
    assert isinstance(caller, UnixCaller)
    assert (caller.pid, caller.uid, caller.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert echo.contexts[-1].peer() == "unix:"
    assert echo.contexts[-1].method == "/test.Echo/Plain"


async def test_pidfds_are_closed_with_their_connections(
    server: Server, target: str, echo: Echo
) -> None:
    import os

    async with grpc.aio.insecure_channel(target) as channel:
        await Stub(channel).Plain(b"")
        pidfd = echo.contexts[-1].caller.pidfd
        os.fstat(pidfd)
    await until(lambda: not server.connections)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(pidfd)


class Book:
    """A gate that writes down what it is told, and refuses whom it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.told: list[tuple[str, grpc.StatusCode, str]] = []
        self.error: Exception | None = None

    def admit(self, context: Any) -> None:
        self.asked.append(context.method)
        if self.error is not None:
            raise self.error

    def finished(self, context: Any, code: grpc.StatusCode, message: str, seconds: float) -> None:
        assert seconds >= 0
        self.told.append((context.method, code, message))


async def test_the_gate_is_asked_and_told_exactly_once(folder: Path, echo: Echo) -> None:
    gate = Book()
    server = Server(clock=SystemClock(), gate=gate)
    echo.register(server)
    await server.listen_unix(folder / "g", mode=0o600)
    async with grpc.aio.insecure_channel(f"unix:{folder / 'g'}") as channel:
        stub = Stub(channel)
        await stub.Plain(b"")
        await error_of(stub.Refuse(b""))
        await error_of(stub.Crash(b""))
        call = stub.Watch(b"x")
        await call.read()
        call.cancel()
        await echo.cancelled.wait()
        gate.error = StatusError(grpc.StatusCode.PERMISSION_DENIED, "not you")
        error = await error_of(stub.Plain(b"no"))
        assert error.details() == "not you"
        assert len(echo.contexts) == 3
        gate.error = RuntimeError("a bug in the gate")
        error = await error_of(stub.Plain(b"no"))
        assert error.code() is grpc.StatusCode.INTERNAL
        assert len(echo.contexts) == 3
    names = ["Plain", "Refuse", "Crash", "Watch", "Plain", "Plain"]
    assert gate.asked == [f"/test.Echo/{name}" for name in names]
    assert [code.name for _, code, _ in gate.told] == [
        "OK",
        "PERMISSION_DENIED",
        "INTERNAL",
        "CANCELLED",
        "PERMISSION_DENIED",
        "INTERNAL",
    ]
    await server.drain(0)


async def test_a_malformed_request_of_a_stream_is_its_callers_fault(
    folder: Path, echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    async def read(_requests: object, context: Any) -> bytes:
        await context.read()
        return b""

    server = Server(clock=SystemClock(), gate=OpenGate())
    parse = health_pb2.HealthCheckRequest.FromString
    server.add_registered_method_handlers(
        "test.Typed",
        {
            "Iterate": grpc.stream_unary_rpc_method_handler(echo.total, parse),
            "Read": grpc.stream_unary_rpc_method_handler(read, parse),
        },
    )
    await server.listen_unix(folder / "typed", mode=0o600)
    async with grpc.aio.insecure_channel(f"unix:{folder / 'typed'}") as channel:
        for name in ("Iterate", "Read"):
            call: Any = channel.stream_unary(f"/test.Typed/{name}")
            error = await error_of(call(iter([b"\xff"])))
            assert error.code() is grpc.StatusCode.INTERNAL
            assert error.details() == "malformed request message"
    await server.drain(0)
    assert not [record for record in caplog.records if record.name.startswith("finial")]


async def test_a_push_stream_sends_when_told_and_ends_when_told(stub: Stub, echo: Echo) -> None:
    call = stub.Watch(b"first")
    assert await call.read() == b"first"
    echo.push.send(b"second")
    assert await call.read() == b"second"
    echo.push.send(b"last")
    echo.push.close()
    assert await call.read() == b"last"
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    echo.push.send(b"after the end")
    assert echo.push.done


async def test_a_push_stream_ends_with_an_error(stub: Stub, echo: Echo) -> None:
    call = stub.Watch(b"first")
    assert await call.read() == b"first"
    echo.push.close(StatusError(grpc.StatusCode.UNAVAILABLE, "try later"))
    with pytest.raises(grpc.aio.AioRpcError, match="try later"):
        await call.read()
    await echo.cancelled.wait()


async def test_a_cancelled_push_stream_is_told(stub: Stub, echo: Echo) -> None:
    call = stub.Watch(b"first")
    await call.read()
    call.cancel()
    await echo.cancelled.wait()
    assert echo.push.done
    late = asyncio.Event()
    echo.push.on_done(late.set)
    assert late.is_set()
