"""What calls cost: CPU time of client and server together, in one process, by kind of call.

Run `python -m tests.bench.rpc.calls` for one line of JSON; with PYTHONPATH on another checkout it
measures that one, so that two can be compared run by run.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import Channel, Limits, OpenGate, Server

_MIB = 1024 * 1024
_LIMITS = Limits(max_receive_message=17 * _MIB, max_concurrent_streams=4096)
Measure = Callable[[Any], Awaitable[int]]


class Service:
    """Raw bytes, each kind of call in its most frequent form."""

    def plain(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        return request

    async def later(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        return request

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:  # noqa: ARG002
        for _ in range(int(request)):
            yield b"x" * 100

    async def total(self, requests: AsyncIterator[bytes], context: Any) -> bytes:  # noqa: ARG002
        return b"%d" % sum([len(request) async for request in requests])

    def watch(self, request: bytes, context: Any) -> Any:
        stream = context.push_stream()
        stream.send(request)
        return stream

    def register(self, server: Server) -> None:
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        handlers: dict[str, Any] = {
            "Plain": unary(self.plain),
            "Later": unary(self.later),
            "Count": stream(self.count),
            "Watch": stream(self.watch),
            "Total": grpc.stream_unary_rpc_method_handler(self.total),
        }
        server.add_registered_method_handlers("bench.Calls", handlers)


async def unary(channel: Channel) -> int:
    call = channel.unary_unary("/bench.Calls/Plain")
    for _ in range(1500):
        await call(b"x" * 100)
    return 1500


async def unary_with_task(channel: Channel) -> int:
    call = channel.unary_unary("/bench.Calls/Later")
    for _ in range(1000):
        await call(b"x" * 100)
    return 1000


async def unary_side_by_side(channel: Channel) -> int:
    call = channel.unary_unary("/bench.Calls/Plain")
    for _ in range(15):
        await asyncio.gather(*(call(b"x" * 100) for _ in range(100)))
    return 1500


async def messages_out(channel: Channel) -> int:
    call = channel.unary_stream("/bench.Calls/Count")
    return len([message async for message in call(b"5000")])


async def messages_in(channel: Channel) -> int:
    async def requests() -> AsyncIterator[bytes]:
        for _ in range(5000):
            yield b"x" * 100

    await channel.stream_unary("/bench.Calls/Total")(requests())
    return 5000


async def large(channel: Channel) -> int:
    call = channel.unary_unary("/bench.Calls/Plain")
    message = bytes(16 * _MIB)
    for _ in range(3):
        assert len(await call(message)) == len(message)
    return 3


async def streams(channel: Channel) -> int:
    call = channel.unary_stream("/bench.Calls/Watch")
    calls = [call(b"x" * 2000) for _ in range(1000)]
    for each in calls:
        await each.read()
    for each in calls:
        each.cancel()
    return 1000


MEASURES: dict[str, Measure] = {
    each.__name__: each
    for each in (
        unary,
        unary_with_task,
        unary_side_by_side,
        messages_out,
        messages_in,
        large,
        streams,
    )
}


async def _measure(rounds: int) -> dict[str, float]:
    """Return the least CPU milliseconds an item of so many rounds."""
    clock = SystemClock()
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="rpc") as folder:
        server = Server(clock=clock, gate=OpenGate(), limits=_LIMITS)
        Service().register(server)
        await server.listen_unix(Path(folder) / "s", mode=0o600)
        async with Channel(f"unix:{folder}/s", clock=clock, limits=_LIMITS) as channel:
            for name, measure in list(MEASURES.items()) * rounds:
                before = time.process_time()
                items = await measure(channel)
                spent = (time.process_time() - before) * 1000 / items
                best[name] = min(spent, best.get(name, spent))
        await server.drain(0)
    return best


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(int((sys.argv[1:] or ["3"])[0])))))
