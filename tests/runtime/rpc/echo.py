"""A service of raw bytes with all four kinds of call, in each of the forms a handler may have."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from finial.runtime.rpc import StatusError

SERVICE = "test.Echo"


class Echo:
    """What the handlers saw and did, for the tests to look at."""

    def __init__(self) -> None:
        self.contexts: list[Any] = []
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.sent = 0
        self.push: Any = None

    def plain(self, request: bytes, context: Any) -> bytes:
        self.contexts.append(context)
        return request

    async def later(self, request: bytes, context: Any) -> bytes:
        self.contexts.append(context)
        await asyncio.sleep(0)
        return request

    async def metadata(self, request: bytes, context: Any) -> bytes:
        pairs = [p for p in context.invocation_metadata() if p[0].startswith("x-")]
        await context.send_initial_metadata(pairs)
        context.set_trailing_metadata([("t-" + key, value) for key, value in pairs])
        return request

    def refuse(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        raise StatusError(
            grpc.StatusCode.PERMISSION_DENIED, "no: 100% ünicode\n", [StringValue(value="why")]
        )

    def crash(self, request: bytes, context: Any) -> bytes:
        self.contexts.append(context)
        raise RuntimeError("secret " + request.decode())

    async def abort(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.ABORTED, request.decode(), (("why", "so"),))
        raise AssertionError

    async def hang(self, request: bytes, context: Any) -> bytes:
        self.contexts.append(context)
        self.started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled.set()
        return request

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.contexts.append(context)
        for number in range(int(request)):
            yield b"%d" % number

    async def flood(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.contexts.append(context)
        message = bytes(int(request))
        try:
            while True:
                yield message
                self.sent += 1
        finally:
            self.cancelled.set()

    def watch(self, request: bytes, context: Any) -> Any:
        self.contexts.append(context)
        self.push = context.push_stream()
        self.push.on_done(self.cancelled.set)
        self.push.send(request)
        return self.push

    async def total(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        self.contexts.append(context)
        total = 0
        async for request in requests:
            total += len(request)
        return b"%d" % total

    async def unread(self, _requests: AsyncIterator[bytes], context: Any) -> bytes:
        self.contexts.append(context)
        self.started.set()
        await asyncio.get_running_loop().create_future()
        return b""

    async def chat(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self.contexts.append(context)
        async for request in requests:
            yield request.upper()

    def handlers(self) -> dict[str, Any]:
        unary = grpc.unary_unary_rpc_method_handler
        stream = grpc.unary_stream_rpc_method_handler
        return {
            **{
                name: unary(getattr(self, name.lower()))
                for name in ("Plain", "Later", "Metadata", "Refuse", "Crash", "Abort", "Hang")
            },
            **{name: stream(getattr(self, name.lower())) for name in ("Count", "Flood", "Watch")},
            "Total": grpc.stream_unary_rpc_method_handler(self.total),
            "Unread": grpc.stream_unary_rpc_method_handler(self.unread),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
        }

    def register(self, server: Any) -> None:
        """Register as the generated code does."""
        handlers = self.handlers()
        generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
        server.add_generic_rpc_handlers((generic,))
        server.add_registered_method_handlers(SERVICE, handlers)


class Stub:
    """Calls of the service on any channel, ours or grpc.aio's."""

    def __init__(self, channel: Any) -> None:
        for name in ("Plain", "Later", "Metadata", "Refuse", "Crash", "Abort", "Hang"):
            setattr(self, name, channel.unary_unary(f"/{SERVICE}/{name}"))
        for name in ("Count", "Flood", "Watch"):
            setattr(self, name, channel.unary_stream(f"/{SERVICE}/{name}"))
        self.Total = channel.stream_unary(f"/{SERVICE}/Total")
        self.Unread = channel.stream_unary(f"/{SERVICE}/Unread")
        self.Chat = channel.stream_stream(f"/{SERVICE}/Chat")

        self.Nope = channel.unary_unary(f"/{SERVICE}/Nope")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)
