"""What a scenario is given: a client and a server, of two makes, with a transport between."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tests.runtime.rpc.matrix.service import Service, Stub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from finial.runtime.rpc import TlsIdentity
    from finial.spiffe.bundle import Bundle

MIB = 1024 * 1024


@dataclass(frozen=True)
class Options:
    """What is other than usual at both ends. Sizes are bytes, times seconds."""

    message: int = 4 * MIB  # the longest that is received
    window: int | None = None  # of a stream, and of the connection
    streams: int | None = None  # the most at once on a connection
    age: float | None = None  # of a connection
    keepalive: float | None = None  # silence before the client sends a PING
    compression: bool = False  # the grpcio or Go end compresses what it sends


@dataclass(frozen=True)
class Credentials:
    """One end's certificate, key and whom it trusts, in the two shapes that they are taken."""

    identity: TlsIdentity
    bundle: Bundle
    key: Path
    chain: Path
    roots: Path


@dataclass(frozen=True)
class Place:
    """Where a server listens: a Unix socket's path, or with credentials some port of 127.0.0.1."""

    socket: Path
    server: Credentials | None = None
    client: Credentials | None = None


class ServerEnd(Protocol):
    """Serves the matrix' service; gives the target for a client, `unix:/path` or `host:port`."""

    name: str

    def __call__(self, place: Place, options: Options) -> AbstractAsyncContextManager[str]: ...


class ClientEnd(Protocol):
    """Gives a channel with grpc.aio's interface."""

    name: str

    def __call__(
        self, target: str, place: Place, options: Options
    ) -> AbstractAsyncContextManager[Any]: ...


@dataclass
class Link:
    """A connected pair. `options` and `place` are for scenarios that make ends of their own."""

    stub: Stub
    target: str
    place: Place
    options: Options
    client: ClientEnd
    server: ServerEnd
    say: list[str] = field(default_factory=list)  # figures for the table
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def another(self) -> Stub:
        """One more channel, and connection, to the same server."""
        end = self.client(self.target, self.place, self.options)
        return Stub(await self._stack.enter_async_context(end))


@asynccontextmanager
async def linked(
    client: ClientEnd, server: ServerEnd, place: Place, options: Options
) -> AsyncIterator[Link]:
    async with (
        server(place, options) as target,
        client(target, place, options) as channel,
        AsyncExitStack() as stack,
    ):
        yield Link(Stub(channel), target, place, options, client, server, _stack=stack)


__all__ = ["ClientEnd", "Credentials", "Link", "Options", "Place", "ServerEnd", "Service", "linked"]
