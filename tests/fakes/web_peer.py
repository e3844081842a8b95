"""An HTTPS server on loopback that says what it is told to, honest or not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from finial.runtime.web.tls import server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable
    from ipaddress import IPv4Address, IPv6Address

    from finial.runtime.rpc import TlsIdentity

    Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def document(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """An answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class LyingPeer:
    """Answers each request with `answer`, or by `say`, and keeps what was asked."""

    def __init__(self, identity: TlsIdentity, answer: bytes = b"", say: Say | None = None) -> None:
        self.identity = identity
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._say = say
        self._serving: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self, context: ssl.SSLContext | None = None) -> AsyncIterator[LyingPeer]:
        server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=context or server_context(self.identity)
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._serving:
                writer.transport.abort()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._serving.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if self._say is not None:
                await self._say(reader, writer)
            writer.write(self.answer)
            await writer.drain()
        writer.close()


class FakeResolver:
    """Gives these addresses; with several answers one after the other, the last for ever."""

    def __init__(self, *answers: list[IPv4Address | IPv6Address]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list[IPv4Address | IPv6Address]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
