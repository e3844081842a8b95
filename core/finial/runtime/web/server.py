"""The HTTP server: listeners, connections, and an orderly end."""

import asyncio
from pathlib import Path
from typing import Protocol

from finial.runtime.observe import CallObserver
from finial.runtime.rpc.admission import Admission, Reason, TurnedAway
from finial.runtime.rpc.callers import UnixCaller
from finial.runtime.rpc.doors import Door, TcpDoor, Tls, UnixDoor
from finial.runtime.rpc.sockets import BoundPath, bind_tcp, bind_unix
from finial.runtime.rpc.timers import MonotonicClock, Timers
from finial.runtime.rpc.tls import trim_buffers
from finial.runtime.web.connection import WebConnection
from finial.runtime.web.limits import WebLimits
from finial.runtime.web.message import Request, Response

_LIMITS = WebLimits()
_ROUNDS = 4


class Site(Protocol):
    """What is served: `Routes`, say."""

    def label(self, request: Request) -> str:
        """What the request is called in logs: a name out of few, whatever is asked for."""
        ...

    def answer(self, request: Request) -> Response:
        """Answer at once, from memory."""
        ...


class WebServer:
    """Serves a site over HTTP/1.1. `name` is what the log calls it."""

    def __init__(
        self,
        site: Site,
        *,
        clock: MonotonicClock,
        observer: CallObserver,
        limits: WebLimits = _LIMITS,
        name: str = "web",
    ) -> None:
        self.site = site
        self.clock = clock
        self.observer = observer
        self.limits = limits
        self.name = name
        self.timers = Timers(clock)
        self.admission = Admission()
        self.turned_away = TurnedAway(name, self.timers)
        self.connections: set[WebConnection] = set()
        self._doors: list[Door] = []
        self._paths: list[BoundPath] = []
        self._idle = asyncio.Event()

    async def listen_tcp(self, host: str, port: int, tls: Tls | None) -> int:
        """Accept on TCP, for TLS unless that is None; returns the port, chosen when `port` is 0.

        Raises:
            OSError: an address is in use, or not ours.
        """
        trim_buffers()
        doors = [TcpDoor(self, sock, tls) for sock in await bind_tcp(host, port)]
        self._doors += doors
        return doors[0].port

    async def listen_unix(self, path: Path, *, mode: int, group: int | None = None) -> None:
        """Accept on a Unix socket, without TLS.

        Raises:
            SocketInUseError: another program answers there.
            OSError: it cannot be made.
        """
        sock = bind_unix(path, mode=mode, group=group)
        self._paths.append(BoundPath(path))
        self._doors.append(await UnixDoor.open(self, sock, _goodbye))

    async def serve(self) -> None:
        """Run until cancelled, then drain."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.drain(self.limits.drain_grace)

    async def drain(self, grace: float) -> None:
        """Stop accepting, let answers be taken for `grace` seconds, cut what is left."""
        doors, self._doors = self._doors, []
        for door in doors:
            door.close()
        for path in self._paths:
            path.remove()
        self._paths.clear()
        for connection in list(self.connections):
            connection.drain()
        if grace > 0:
            self.timers.after(grace, self._idle.set)
            while self.connections and not self._idle.is_set():
                await self._idle.wait()
        await self._cut()
        for door in doors:
            await door.closed()
        await self.timers.close()

    async def _cut(self) -> None:
        for connection in list(self.connections):
            connection.abort()
        for _ in range(_ROUNDS):
            if not self.connections:
                return
            await asyncio.sleep(0)

    # -- for doors and connections -----------------------------------------------------------

    def entering(self, who: int | str, peer: UnixCaller | str, tls: Tls | None) -> WebConnection:
        """Return the connection of a caller that a door lets in."""
        return WebConnection(self, who, peer, secure=tls is not None)

    def connection_closed(self, connection: WebConnection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._idle.set()


def _goodbye(reason: Reason) -> bytes:
    text = f"503 {reason.text}\n"
    return (
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n{text}"
    ).encode()
