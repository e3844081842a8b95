"""The service that every peer of the matrix serves, in whatever language: raw bytes, test.Matrix.

Plain    unary    the request again
Remains  unary    the milliseconds to the deadline, as the server sees it; -1 without one
Metadata unary    the x- metadata again, as initial metadata and (t-x-) as trailing metadata
Refuse   unary    ends as the request, a Refusal in JSON, says
Heard    unary    waits until a handler has heard of its call's end, then counts one less
Begun    unary    how many handlers of Watch and Unread have begun
Sent     unary    how many messages Flood has handed over since it began
Release  unary    lets Hold go on
Fail     stream   some messages, then as Refuse
Count    stream   as many messages as the request says
Watch    stream   the request, then nothing until the call is over
Flood    stream   messages of the size that the request says, without end
Total    from a stream   the sum of the requests' sizes
Unread   from a stream   never reads
Hold     from a stream   reads only once released, then as Total
Early    from a stream   answers with the first request, without waiting for the end
Chat     both ways       each request in capitals
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import status_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVICE = "test.Matrix"
UNARY = ("Plain", "Remains", "Metadata", "Refuse", "Heard", "Begun", "Sent", "Release")
STREAMS = ("Fail", "Count", "Watch", "Flood")
FROM_STREAMS = ("Total", "Unread", "Hold", "Early")
BOTH = ("Chat",)


@dataclass(frozen=True)
class Refusal:
    """How a call is to end: the code's number, the message, how many messages come before."""

    code: int
    message: str = ""
    after: int = 0
    details: bool = False

    def __bytes__(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    async def abort(self, context: Any) -> None:
        (code,) = (each for each in grpc.StatusCode if each.value[0] == self.code)
        await context.abort(code, self.message, self._trailing())

    def _trailing(self) -> tuple[tuple[str, bytes], ...]:
        if not self.details:
            return ()
        status: Any = status_pb2.Status(code=self.code, message=self.message)
        status.details.add().Pack(StringValue(value="why"))
        return (("grpc-status-details-bin", status.SerializeToString()),)


class Service:
    """The handlers, for any server that takes grpc.aio's."""

    def __init__(self) -> None:
        self._heard = asyncio.Semaphore(0)
        self._released = asyncio.Event()
        self.sent = 0
        self._begun = 0
        self.contexts: list[Any] = []

    async def plain(self, request: bytes, context: Any) -> bytes:
        self.contexts[:] = [context]
        return request

    async def remains(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        left = context.time_remaining()
        return b"-1" if left is None else b"%d" % (left * 1000)

    async def metadata(self, request: bytes, context: Any) -> bytes:
        pairs = [pair for pair in context.invocation_metadata() if pair[0].startswith("x-")]
        await context.send_initial_metadata(tuple(pairs))
        context.set_trailing_metadata(tuple(("t-" + key, value) for key, value in pairs))
        return request

    async def refuse(self, request: bytes, context: Any) -> bytes:
        await Refusal(**json.loads(request)).abort(context)
        raise AssertionError

    async def heard(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        await self._heard.acquire()
        return request

    async def begun(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        return b"%d" % self._begun

    async def sent_(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        return b"%d" % self.sent

    async def release(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        self._released.set()
        return request

    async def fail(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        refusal = Refusal(**json.loads(request))
        for number in range(refusal.after):
            yield b"%d" % number
        await refusal.abort(context)

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:  # noqa: ARG002
        for number in range(int(request)):
            yield b"%d" % number

    async def watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:  # noqa: ARG002
        self._begun += 1
        try:
            yield request
            await asyncio.get_running_loop().create_future()
        finally:
            self._heard.release()

    async def flood(self, request: bytes, context: Any) -> AsyncIterator[bytes]:  # noqa: ARG002
        message, self.sent = bytes(int(request)), 0
        try:
            while True:
                yield message
                self.sent += 1
        finally:
            self._heard.release()

    async def total(self, requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: ARG002
        total = 0
        async for request in requests:
            total += len(request)
        return b"%d" % total

    async def unread(self, _requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: ARG002
        self._begun += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._heard.release()
        raise AssertionError

    async def hold(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        await self._released.wait()
        return await self.total(requests, context)

    async def early(self, requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: ARG002
        return await anext(requests)

    async def chat(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:  # noqa: ARG002
        async for request in requests:
            yield request.upper()

    def behaviour(self, name: str) -> Any:
        """Return the handler of a method."""
        return self.sent_ if name == "Sent" else getattr(self, name.lower())

    def register(self, server: Any) -> None:
        handlers: dict[str, Any] = {}
        for names, handler in (
            (UNARY, grpc.unary_unary_rpc_method_handler),
            (STREAMS, grpc.unary_stream_rpc_method_handler),
            (FROM_STREAMS, grpc.stream_unary_rpc_method_handler),
            (BOTH, grpc.stream_stream_rpc_method_handler),
        ):
            for name in names:
                handlers[name] = handler(self.behaviour(name))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


class Stub:
    """Calls of the service, on any channel with grpc.aio's interface."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        for names, make in (
            ((*UNARY, "Nope"), channel.unary_unary),
            (STREAMS, channel.unary_stream),
            (FROM_STREAMS, channel.stream_unary),
            (BOTH, channel.stream_stream),
        ):
            for name in names:
                setattr(self, name, make(f"/{SERVICE}/{name}"))
        self.Nowhere = channel.unary_unary("/test.Nowhere/Plain")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)
