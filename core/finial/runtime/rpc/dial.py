"""The client's side of a connection: where to, with whom, and whether it takes more streams."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from h2.errors import ErrorCodes

from finial.runtime.logging import log
from finial.runtime.rpc.client_stream import ClientStream
from finial.runtime.rpc.connection import Connection
from finial.runtime.rpc.floods import FloodError
from finial.runtime.rpc.hpack import Header
from finial.runtime.rpc.limits import Limits
from finial.runtime.rpc.request import HeadCache
from finial.runtime.rpc.timers import Timers
from finial.runtime.rpc.tls import trim_buffers

if TYPE_CHECKING:
    from finial.runtime.rpc.tls import ClientTls

_log = logging.getLogger(__name__)

_HEADS = HeadCache()


class Target(NamedTuple):
    """A Unix socket's path, or a host and a port."""

    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, target: str) -> "Target":
        """Read `unix:/path`, `unix:///path`, `host:port` or `[v6]:port`.

        Raises:
            ValueError: it is none of them.
        """
        if target.startswith("unix:"):
            path = target.removeprefix("unix:")
            return cls("localhost", 0, path[2:] if path.startswith("///") else path)
        host, colon, port = target.rpartition(":")
        if not colon or not port.isdigit() or not 0 < int(port) < 65536 or not host:
            raise ValueError(f"address {target!r} is neither unix:/path nor host:port")
        return cls(host.removeprefix("[").removesuffix("]"), int(port), "")

    @property
    def authority(self) -> str:
        if self.path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ClientConnection(Connection):
    """One connection that we made. `ready` while new streams may be opened on it."""

    __slots__ = ("_leaving", "_slots", "_tls", "farewell", "refusal")

    def __init__(self, limits: Limits, timers: Timers, tls: "ClientTls | None") -> None:
        super().__init__(limits, _HEADS, timers, client=True)
        self._tls = tls
        self._leaving = False
        self._slots: list[asyncio.Future[None]] = []
        self.refusal: Exception | None = None
        self.farewell = ""  # why the server wants no more of us, by its GOAWAY

    @property
    def ready(self) -> bool:
        transport = self.transport
        return not (
            self._leaving or transport is None or transport.is_closing() or self.engine.closed
        )

    @property
    def full(self) -> bool:
        """Whether the server allows no more streams for the moment."""
        return self.engine.open_streams >= self.engine.peer_allows

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._tls is not None:
            try:
                self._tls.verify(transport.get_extra_info("ssl_object"))
            except (OSError, ValueError) as error:
                # Not a byte of HTTP/2 goes to a server that is not the one we want.
                self.refusal = error
                self.abort()
                return
        self.start()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._free_slots()

    def open(
        self, headers: tuple[Header, ...], over: Callable[[ClientStream], None]
    ) -> ClientStream:
        """Send request headers on a new stream. The connection must be ready and not full."""
        stream_id = self.engine.get_next_available_stream_id()
        self.engine.open_request(stream_id, headers)
        stream = ClientStream(self, stream_id, over)
        self.streams[stream_id] = stream
        self.flush_later()
        return stream

    async def slot(self) -> None:
        """Wait until one more stream may be opened, or the connection is of no use."""
        while self.ready and self.full:
            future = self.loop.create_future()
            self._slots.append(future)
            await future

    def forget(self, stream: Any) -> None:
        super().forget(stream)
        self._free_slots()
        if self._leaving and not self.streams:
            self.loop.call_soon(self.close)

    def leave(self) -> None:
        """Open no more streams; close when the last has ended."""
        self._leaving = True
        self._free_slots()
        if not self.streams:
            if not self.engine.closed:
                self.engine.send_goaway(0, int(ErrorCodes.NO_ERROR))
            self.close()

    def on_response(self, stream_id: int, headers: list[Header], ended: bool) -> None:
        stream = self.streams.get(stream_id)
        if isinstance(stream, ClientStream):
            stream.on_response(headers, ended)

    def on_trailers(self, stream_id: int, headers: list[Header]) -> None:
        stream = self.streams.get(stream_id)
        if isinstance(stream, ClientStream):
            stream.on_trailers(headers)

    def on_settings(self) -> None:
        super().on_settings()
        self._free_slots()

    def on_goaway(self, last_stream_id: int, error: int, debug: bytes) -> None:
        text = debug[:100].decode("ascii", "replace")
        reason = f"the server sent GOAWAY, HTTP/2 error {error}" + (text and f": {text}")
        self._leaving = True
        self.farewell = reason
        for stream in list(self.streams.values()):
            if stream.stream_id > last_stream_id and isinstance(stream, ClientStream):
                stream.on_refused(reason)
        self._free_slots()
        if not self.streams:
            self.loop.call_soon(self.close)

    def flooded(self, error: FloodError) -> None:
        # Once a connection: how often that is, is for the caller's backoff.
        transport = self.transport
        peer = transport.get_extra_info("peername") if transport is not None else None
        log(_log, logging.WARNING, "connection ended", server=peer, error=str(error))

    def _free_slots(self) -> None:
        slots, self._slots = self._slots, []
        for slot in slots:
            if not slot.done():
                slot.set_result(None)


async def dial(
    target: Target, limits: Limits, timers: Timers, tls: "ClientTls | None"
) -> ClientConnection:
    """Connect, over each of the host's addresses in turn.

    Raises:
        OSError, ValueError: the last address' failure, or why the server is not the right one.
    """
    loop = asyncio.get_running_loop()

    def protocol() -> ClientConnection:
        return ClientConnection(limits, timers, tls)

    if target.path:
        _, connection = await loop.create_unix_connection(protocol, target.path)
        return connection
    options: dict[str, Any] = {}
    if tls is not None:
        trim_buffers()
        options = {
            "ssl": tls.context(),
            "server_hostname": target.host,
            "ssl_handshake_timeout": limits.connect_timeout,
            "ssl_shutdown_timeout": 2.0,
        }
    found = await loop.getaddrinfo(target.host, target.port, type=1)
    failure: Exception = OSError(f"{target.host} has no address")
    for *_, address in found:
        try:
            _, connection = await loop.create_connection(protocol, *address[:2], **options)
        except OSError as error:
            failure = error
            continue
        if connection.refusal is not None:
            raise connection.refusal
        return connection
    raise failure
