"""The TLS side of a gRPC client: what comes by a Unix socket goes on to a server by mutual TLS.

A server's SVID has no DNS name, and grpcio checks nothing else; the handshake itself is Python's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 65_536
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def tls_context(roots: str, chain: Path | None) -> ssl.SSLContext:
    """For HTTP/2 to a server whose certificate `roots` (PEM) verify; `chain` is a file with key."""
    context = ssl.create_default_context(cadata=roots)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    if chain is not None:
        context.load_cert_chain(chain)
    return context


class Relay:
    """One caller's way to 127.0.0.1:`port`: every connection to `path` is one there."""

    def __init__(self, path: Path, port: int, context: ssl.SSLContext) -> None:
        self._path = path
        self._port = port
        self._context = context
        self._pairs = set[asyncio.Task[None]]()
        self._server: asyncio.Server | None = None

    @property
    def target(self) -> str:
        """Where gRPC connects."""
        return f"unix:{self._path}"

    async def open(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, self._path)
        return self

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for pair in self._pairs:
            pair.cancel()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._pairs.add(task)
        task.add_done_callback(self._pairs.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            there = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)
            with contextlib.closing(there[1]):
                await _both_ways((reader, writer), there)


async def _both_ways(here: Ends, there: Ends) -> None:
    """Until either side ends."""
    ways = [asyncio.ensure_future(_pump(a[0], b[1])) for a, b in ((here, there), (there, here))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
