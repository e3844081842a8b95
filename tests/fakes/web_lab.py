"""HTTP spoken byte by byte, and a server to speak it to."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from finial.runtime.observe import CallInfo, Observer
from finial.runtime.web import Request, Response, Routes, WebLimits, WebServer
from tests.fakes.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import grpc

    from finial.runtime.rpc.doors import Tls

PATIENCE = 10.0
_LIMITS = WebLimits()


class Finished(NamedTuple):
    """A call as the observer was told of its end."""

    method: str
    code: grpc.StatusCode


class Ear(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("finial.test"))
        self.calls: list[Finished] = []

    def finished(self, call: CallInfo, code: grpc.StatusCode, message: str, seconds: float) -> None:
        super().finished(call, code, message, seconds)
        self.calls.append(Finished(call.method, code))


def echo(request: Request) -> Response:
    """What came, in a line."""
    where = "tls" if request.secure else "plain"
    text = f"{request.method} {request.path} {request.host} {where} {request.body.decode()}"
    return Response(200, text.encode())


def broken(request: Request) -> Response:
    raise RuntimeError(request.path)


def huge(request: Request) -> Response:  # noqa: ARG001
    return Response(200, bytes(8 << 20), "application/octet-stream")


ROUTES = Routes({"/": echo, "/broken": broken, "/huge": huge}, head=True)


class WebLab:
    """A server on a Unix socket, whose clock stands still."""

    def __init__(self, folder: Path, limits: WebLimits = _LIMITS) -> None:
        self.path = folder / "s"
        self.clock = FakeClock()
        self.ear = Ear()
        self.server = WebServer(
            ROUTES, clock=self.clock, observer=self.ear, limits=limits, name="lab"
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[WebServer]:
        await self.server.listen_unix(self.path, mode=0o600)
        try:
            yield self.server
        finally:
            await self.server.drain(0)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Speaker]:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        speaker = Speaker(reader, writer)
        try:
            yield speaker
        finally:
            await speaker.close()

    async def ask(self, data: bytes) -> bytes:
        """All that comes back for these bytes and an end of them."""
        async with self.connected() as speaker:
            await speaker.say(data)
            with suppress(OSError):
                speaker.writer.write_eof()
            return await speaker.rest()


class Speaker:
    """A client's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def answer(self) -> bytes:
        """One answer with a Content-Length."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return head + await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """What comes until the connection ends."""
        found = b""
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    found += piece
        return found

    async def close(self) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def serve_tls(server: WebServer, tls: Tls | None) -> int:
    """Listen on loopback; returns the port."""
    return await server.listen_tcp("127.0.0.1", 0, tls)


def status(answer: bytes) -> int:
    """Of an answer, as it came."""
    assert answer.startswith(b"HTTP/1.1 "), answer[:80]
    return int(answer[9:12])
