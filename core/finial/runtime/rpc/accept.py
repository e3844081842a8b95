"""The server's side of a connection: who called, which streams, and how it is let go."""

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any, cast

import grpc
from h2.errors import ErrorCodes

from finial.runtime.rpc.admission import Reason, name_of
from finial.runtime.rpc.callers import Caller, TlsCaller, UnixCaller
from finial.runtime.rpc.connection import Connection
from finial.runtime.rpc.context import ServerContext
from finial.runtime.rpc.engine import LAST_STREAM
from finial.runtime.rpc.floods import FloodError
from finial.runtime.rpc.refusal import Refusal
from finial.runtime.rpc.request import RequestHead
from finial.runtime.rpc.status import StatusError

if TYPE_CHECKING:
    from finial.runtime.rpc.server import Server
    from finial.runtime.rpc.timers import Timer
    from finial.runtime.rpc.tls import ServerTls

_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
_DRAIN_PING = b"drain\0\0\0"
_DRAIN_PATIENCE = 1.0
_LINGER = 1.0
_CERTIFICATE = Reason("certificate refused", level=logging.INFO)


class ServerConnection(Connection):
    """One connection that was let in; `who` is the caller that it is counted under.

    `caller` is a Unix caller, or the text of a TLS peer's address until its handshake is over.
    """

    __slots__ = (
        "_age",
        "_draining",
        "_expiry",
        "_final",
        "_greeting",
        "_linger",
        "_made",
        "_peer",
        "_released",
        "_stall",
        "_tls",
        "adopted",
        "caller",
        "server",
        "who",
    )

    caller: Caller

    def __init__(
        self, server: "Server", who: int | str, peer: UnixCaller | str, tls: "ServerTls | None"
    ) -> None:
        super().__init__(server.limits, server.heads, server.timers, client=False)
        self.server = server
        self.who = who
        self._peer = peer
        self._tls = tls
        self.adopted = False  # whether the socket is a transport's to close
        self._made = False
        self._released = False
        self._draining = False
        self._final: int | None = None  # the last stream that we serve
        self._greeting: Timer | None = None
        self._stall: Timer | None = None
        self._age: Timer | None = None
        self._expiry: Timer | None = None
        self._linger: Timer | None = None

    # -- from accept to close --------------------------------------------------------------

    def adopt(self) -> "ServerConnection":
        """Return this, to the loop that makes its transport."""
        self.adopted = True
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made = True
        super().connection_made(transport)
        try:
            self.caller = self._identify(transport)
        except (OSError, ValueError) as error:
            self.server.turned_away.note(_CERTIFICATE, name_of(self.who), str(error))
            self.abort()
            return
        self.server.connections.add(self)
        # Our SETTINGS leave with the answer to the client's: one write less, and nothing at all to
        # who only knocks.
        self.start()
        self._greeting = self.timers.after(self.limits.request_timeout, self._not_greeted)
        self._plan_end()

    def _identify(self, transport: asyncio.BaseTransport) -> Caller:
        if isinstance(self._peer, UnixCaller):
            return self._peer
        assert self._tls is not None
        return TlsCaller(self._peer, self._tls.verify(transport.get_extra_info("ssl_object")))

    def settle(self) -> None:
        """Give back what was taken at accept, if the connection never came to be."""
        if not self._made:
            self._release()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.server.connections.discard(self)
        for timer in (self._greeting, self._stall, self._age, self._expiry, self._linger):
            if timer is not None:
                timer.cancel()
        self._release()
        self.server.connection_closed()

    def _release(self) -> None:
        if self._released:
            return
        self._released = True
        self.server.admission.leave(self.who)
        if isinstance(self._peer, UnixCaller) and self._peer.pidfd is not None:
            os.close(self._peer.pidfd)

    # -- what came -------------------------------------------------------------------------

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        if self._stall is None and self.engine.unfinished:
            self._watch_progress()

    def _watch_progress(self) -> None:
        """Look again later: one timer for however many frames end meanwhile."""
        before = self.engine.ended_bytes

        def look() -> None:
            self._stall = None
            if not self.engine.unfinished:
                return
            if self.engine.ended_bytes != before:
                self._watch_progress()
                return
            self.lost("the peer sends a frame too slowly")
            self.abort()

        self._stall = self.timers.after(self.limits.request_timeout, look)

    def eof_received(self) -> bool:
        if self._tls is not None or (self.transport and self.transport.get_write_buffer_size()):
            self._close_soon()
        return False

    def flooded(self, error: FloodError) -> None:
        reason = Reason(f"too many {error.kind}")
        self.server.turned_away.note(reason, name_of(self.who), str(error))

    def request_completed(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None

    def on_request(
        self, stream_id: int, head: RequestHead, timeout: bytes | None, ended: bool
    ) -> None:
        too_much = head.size and self.intake.held > self.intake.most
        if too_much or (self._final is not None and stream_id > self._final):
            self.engine.reset(stream_id, int(ErrorCodes.REFUSED_STREAM))
            return
        if not head.grpc or head.method != b"POST":
            refusal = Refusal(self, stream_id, head)
            self.streams[stream_id] = refusal
            refusal.begin(ended)
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
        # A client that does not answer is not waited for.
        self._linger = self.timers.after(_DRAIN_PATIENCE, self._take_no_more)

    def on_ping_answered(self, data: bytes) -> None:
        if data == _DRAIN_PING and self._draining:
            self._take_no_more()

    def _take_no_more(self) -> None:
        """Say which stream is the last, and close when there is none."""
        if self._final is not None or self.engine.closed:
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

    def cut(self, code: grpc.StatusCode, reason: str) -> None:
        """End every call with a status, then the connection."""
        if self._final is None and not self.engine.closed:
            self._draining = True
            self._final = self.engine.highest_inbound_stream_id
            self.engine.send_goaway(self._final, int(ErrorCodes.NO_ERROR), reason.encode())
        for stream in list(self.streams.values()):
            cast("ServerContext | Refusal", stream).cut(StatusError(code, reason))
        self.close()

    def close(self) -> None:
        super().close()
        self._close_soon()

    def _close_soon(self) -> None:
        """Let a peer that does not read have what is left for a second, and no longer."""
        if self.transport is not None:
            if self._linger is not None:
                self._linger.cancel()
            self._linger = self.timers.after(_LINGER, self.abort)

    def _plan_end(self) -> None:
        """Set the connection's end: by its age, and never after its client's certificate."""
        age = self.server.connection_age()
        svid = self.caller.svid if isinstance(self.caller, TlsCaller) else None
        if svid is not None:
            left = svid.not_after - self.server.clock.time()
            self._expiry = self.server.wall_timers.after(left, self._expired)
            # Told early enough to move over in peace; a tenth, should the whole life be short.
            told = left - min(self.limits.connection_age_grace, left / 10)
            age = told if age is None else min(age, told)
        if age is not None:
            self._age = self.timers.after(age, self._too_old)

    def _too_old(self) -> None:
        self.drain()
        self._age = self.timers.after(
            self.limits.connection_age_grace,
            lambda: self.cut(_UNAVAILABLE, "the connection has reached its age limit"),
        )

    def _expired(self) -> None:
        # Not Unauthenticated: the caller may well hold a newer certificate by now, and is to
        # come again with it.
        self.cut(_UNAVAILABLE, "the client certificate of the connection has expired")

    def _not_greeted(self) -> None:
        self._greeting = None
        if self.engine.greeted:
            self.cut(_UNAVAILABLE, "no complete request came in time")
        else:
            self.abort()
