"""The server's side of a connection: who called, which streams, and how it is let go."""

import asyncio
import os
from typing import TYPE_CHECKING, Any, cast

from h2.errors import ErrorCodes

from finial.runtime.rpc.callers import Caller, TlsCaller, UnixCaller, unix_caller
from finial.runtime.rpc.connection import Connection
from finial.runtime.rpc.context import ServerContext
from finial.runtime.rpc.engine import LAST_STREAM
from finial.runtime.rpc.request import RequestHead
from finial.runtime.rpc.status import StatusError

if TYPE_CHECKING:
    import grpc

    from finial.runtime.rpc.server import Server
    from finial.runtime.rpc.timers import Timer
    from finial.runtime.rpc.tls import ServerTls

_DRAIN_PING = b"drain\0\0\0"


class ServerConnection(Connection):
    """One accepted connection."""

    __slots__ = ("_age", "_draining", "_final", "_greeting", "_tls", "caller", "server")

    caller: Caller

    def __init__(self, server: "Server", tls: "ServerTls | None") -> None:
        super().__init__(server.limits, server.heads, server.timers, client=False)
        self.server = server
        self._tls = tls
        self._draining = False
        self._final: int | None = None  # the last stream that we serve
        self._greeting: Timer | None = None
        self._age: Timer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        try:
            self.caller = self._identify(transport)
        except (OSError, ValueError) as error:
            self.server.refused(error)
            self.abort()
            return
        self.server.connections.add(self)
        # Our SETTINGS leave with the answer to the client's: one write less, and nothing at all to
        # who only knocks.
        self.start()
        self._greeting = self.timers.after(self.limits.handshake_timeout, self._not_greeted)
        age = self.server.connection_age()
        if age is not None:
            self._age = self.timers.after(age, self._too_old)

    def _identify(self, transport: asyncio.BaseTransport) -> Caller:
        if self._tls is None:
            return unix_caller(transport.get_extra_info("socket"))
        address = _address(transport.get_extra_info("peername"))
        return TlsCaller(address, self._tls.verify(transport.get_extra_info("ssl_object")))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.server.connections.discard(self)
        for timer in (self._greeting, self._age):
            if timer is not None:
                timer.cancel()
        caller = getattr(self, "caller", None)
        if isinstance(caller, UnixCaller) and caller.pidfd is not None:
            os.close(caller.pidfd)
        self.server.connection_closed()

    def on_request(
        self, stream_id: int, head: RequestHead, timeout: bytes | None, ended: bool
    ) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None
        if self._final is not None and stream_id > self._final:
            self.engine.reset(stream_id, int(ErrorCodes.REFUSED_STREAM))
            return
        context = ServerContext(self, stream_id, head)
        self.streams[stream_id] = context
        context.begin(timeout, ended)

    def forget(self, stream: Any) -> None:
        super().forget(stream)
        if self._final is not None and not self.streams:
            self.loop.call_soon(self.close)

    # -- letting go ------------------------------------------------------------------------

    def drain(self) -> None:
        """Ask the client to go elsewhere, and close when its calls have ended.

        Two GOAWAYs: between them the client may still be sending requests that it believes in.
        """
        if self._draining or self.engine.closed:
            return
        self._draining = True
        self.engine.send_goaway(LAST_STREAM, int(ErrorCodes.NO_ERROR))
        self.engine.ping(_DRAIN_PING)
        self.flush()

    def on_ping_answered(self, data: bytes) -> None:
        if data != _DRAIN_PING or not self._draining or self._final is not None:
            return
        self._final = self.engine.highest_inbound_stream_id
        self.engine.send_goaway(self._final, int(ErrorCodes.NO_ERROR))
        if not self.streams:
            self.loop.call_soon(self.close)

    def on_goaway(self, last_stream_id: int, error: int, debug: bytes) -> None:  # noqa: ARG002
        """The client is leaving; it opens no more streams."""
        self._draining = True
        self._final = self.engine.highest_inbound_stream_id
        if not self.streams:
            self.loop.call_soon(self.close)

    def cut(self, code: "grpc.StatusCode", reason: str) -> None:
        """End every call with a status, then the connection."""
        for stream in list(self.streams.values()):
            cast("ServerContext", stream).cut(StatusError(code, reason))
        self.close()

    def _too_old(self) -> None:
        self.drain()
        self._age = self.timers.after(self.limits.connection_age_grace, self.abort)

    def _not_greeted(self) -> None:
        self._greeting = None
        if not self.engine.greeted:
            self.abort()


def _address(peername: Any) -> str:
    """Return a peer's address as gRPC writes them."""
    if not isinstance(peername, tuple):
        return "unknown:"
    host, port = peername[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
