"""HTTP/2 by anybody: frames, gRPC messages in them, in any order and cut anywhere.

Real sockets, so that what is tried is what the programs do: read, answer, hang up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finial.runtime.rpc import Channel, Limits, OpenGate, RpcError, Server
from tests.fakes.clock import FakeClock
from tests.runtime.rpc.echo import Echo, Stub

if TYPE_CHECKING:
    from collections.abc import Coroutine

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATIENCE = 10.0
"""Seconds of real time in which a peer that hung up must have been let go."""
_CHUNKS = (65536, 1, 9, 17)


class Complaints(logging.Handler):
    """Keeps what is logged as an error: no input may be one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class Bench:
    """An event loop of its own that lasts from one input to the next."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._failed)
        self.failures: list[dict[str, Any]] = []
        self.complaints = Complaints()
        logging.getLogger("finial").addHandler(self.complaints)

    def _failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(context)

    def close(self) -> None:
        logging.getLogger("finial").removeHandler(self.complaints)
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end. AssertionError when anything failed behind its back."""
        result = self.loop.run_until_complete(asyncio.wait_for(work, PATIENCE))
        failed, said = self.failures.copy(), self.complaints.messages.copy()
        self.failures.clear()
        self.complaints.messages.clear()
        assert not failed, failed
        assert not said, said
        return result


@cache
def bench() -> Bench:
    """The one of this process."""
    return Bench()


@cache
def _socket() -> str:
    folder = tempfile.mkdtemp(prefix="fuzz")
    return str(Path(folder) / "s")


class _MildEcho(Echo):
    """Answers everything; without the handlers that fail on purpose, which are logged as errors."""

    def handlers(self) -> dict[str, Any]:
        return {
            name: handler
            for name, handler in super().handlers().items()
            if name not in {"Crash", "Count", "Flood"}
        }


@cache
def _server() -> Server:
    async def start() -> Server:
        server = Server(
            clock=FakeClock(), gate=OpenGate(), limits=Limits(max_receive_message=65536)
        )
        _MildEcho().register(server)
        await server.listen_unix(Path(_socket()), mode=0o600)
        return server

    return bench().run(start())  # type: ignore[no-any-return]


def http2_server(data: bytes) -> None:
    """A client's bytes after the preface; the first byte says in what pieces they come.

    Whatever they are, a client that hangs up is let go of, with all that it began.
    """
    server = _server()
    bench().run(_speak(data))
    bench().run(_gone(server))


def close() -> None:
    """Let go of the server, its folder and the loop; the next input makes new ones."""
    bench().run(_server().drain(0))
    bench().close()
    shutil.rmtree(Path(_socket()).parent)
    for made_once in (_server, _socket, bench):
        made_once.cache_clear()


async def _speak(data: bytes) -> None:
    size = _CHUNKS[data[0] % len(_CHUNKS)] if data else 1
    reader, writer = await asyncio.open_unix_connection(_socket())
    with contextlib.suppress(ConnectionError):
        writer.write(PREFACE)
        for start in range(1, len(data), size):
            writer.write(data[start : start + size])
            if size > 1 or start % 16 == 0:
                await writer.drain()
                await asyncio.sleep(0)
        writer.write_eof()
        while await reader.read(65536):
            pass
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def _gone(server: Server) -> None:
    while server.connections:  # noqa: ASYNC110  # nothing announces it; `run` bounds it
        await asyncio.sleep(0)


def http2_client(data: bytes) -> None:
    """A server's answer, whatever it is, ends each call: with a response or an RpcError."""
    bench().run(_call(data))


async def _call(data: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(65536)
            writer.write(data)
            await writer.drain()
            writer.write_eof()
            while await reader.read(65536):
                pass
        writer.close()

    path = _socket() + ".answering"
    listener = await asyncio.start_unix_server(answer, path)
    async with Channel(f"unix:{path}", clock=FakeClock()) as channel:
        stub = Stub(channel)
        await asyncio.gather(_unary(stub), _stream(stub))
    listener.close()
    await listener.wait_closed()


async def _unary(stub: Stub) -> None:
    with contextlib.suppress(RpcError):
        await stub.Plain(b"hello")


async def _stream(stub: Stub) -> None:
    with contextlib.suppress(RpcError):
        async for _ in stub.Count(b"3"):
            pass
