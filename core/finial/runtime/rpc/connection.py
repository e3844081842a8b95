"""One HTTP/2 connection on an asyncio transport: bytes in, one write a wake-up, back-pressure."""

import asyncio
import threading
from typing import Any, cast

from h2.exceptions import ProtocolError

from finial.runtime.rpc.engine import Engine
from finial.runtime.rpc.limits import Limits
from finial.runtime.rpc.request import HeadCache, RequestHead
from finial.runtime.rpc.stream import Stream
from finial.runtime.rpc.timers import Timer, Timers


class _ReadBuffer(threading.local):
    """The event loop fills it and hands it over in one go: all connections of a thread share it."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(64 * 1024))


_READ = _ReadBuffer()
# Queued bytes go to the transport in such pieces, so that its high-water mark is seen in time.
FLUSH_AT = 64 * 1024
_PING = b"finial\0\0"


class Connection(asyncio.BufferedProtocol):
    """What the two sides of a connection have in common."""

    __slots__ = (
        "_blocked",
        "_flush_due",
        "_heard",
        "_keepalive",
        "_read",
        "_reading",
        "_shut",
        "engine",
        "limits",
        "loop",
        "paused",
        "streams",
        "timers",
        "transport",
    )

    def __init__(
        self,
        limits: Limits,
        heads: HeadCache,
        timers: Timers,
        *,
        client: bool,
    ) -> None:
        self.limits = limits
        self.timers = timers
        self.loop = asyncio.get_running_loop()
        self.engine = Engine(self, limits, heads, client=client)
        self.streams: dict[int, Stream] = {}
        self.transport: asyncio.Transport | None = None
        self.paused = False
        # Who waits for the connection's window or the socket, and who for a window of its own:
        # apart, so that a peer cannot have all looked at for each frame that frees none.
        self._blocked: dict[int, Stream] = {}
        self._shut: dict[int, Stream] = {}
        self._read = _READ.view
        self._reading = False
        self._flush_due = False
        self._heard = False
        self._keepalive: Timer | None = None

    # -- the transport's side --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def start(self) -> None:
        """Begin to speak HTTP/2 with a peer that has been let in. Leaves the writing to a flush."""
        self.engine.initiate_connection()
        if self.limits.keepalive is not None:
            self._keepalive = self.timers.after(self.limits.keepalive, self._probe)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        engine = self.engine
        if engine.closed:
            return
        self._reading = self._heard = True
        try:
            engine.receive(self._read[:nbytes].tobytes())
        except ProtocolError as error:
            self.lost(f"the peer broke HTTP/2: {error}")
            self.close()
        finally:
            self._reading = False
        if not self._flush_due:
            self.flush()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._unblock()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._keepalive is not None:
            self._keepalive.cancel()
        self.lost("connection lost" if exc is None else f"connection lost: {exc}")

    # -- the streams' side -----------------------------------------------------------------

    def flush(self) -> None:
        """Write what is queued now."""
        self._flush_due = False
        out = self.engine.take()
        transport = self.transport
        if out is None or transport is None or transport.is_closing():
            return
        transport.write(out)
        if self.paused and transport.get_write_buffer_size() > self.limits.max_write_backlog:
            self.lost("the peer does not read")
            transport.abort()

    def flush_later(self) -> None:
        """Write what is queued once the present wake-up is over."""
        if not self._reading and not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self.flush)

    def block(self, stream: Stream) -> None:
        """Call `stream.pump` when the peer has opened a window or read its socket."""
        waiting = self._blocked if self.engine.is_open_to(stream.stream_id) else self._shut
        waiting[stream.stream_id] = stream

    def forget(self, stream: Stream) -> None:
        self.streams.pop(stream.stream_id, None)
        self._blocked.pop(stream.stream_id, None)
        self._shut.pop(stream.stream_id, None)

    def close(self) -> None:
        """Write what is queued and close."""
        self.flush()
        # Closing twice makes a TLS transport of Python 3.11.2 unable to abort.
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def lost(self, reason: str) -> None:
        """End every stream, as no byte will come or go any more."""
        streams = list(self.streams.values())
        self.streams.clear()
        self._blocked.clear()
        self._shut.clear()
        for stream in streams:
            stream.on_lost(reason)

    def _unblock(self) -> None:
        blocked = [*self._blocked.values(), *self._shut.values()]
        self._blocked.clear()
        self._shut.clear()
        for stream in blocked:
            stream.pump()

    def _probe(self) -> None:
        """Keepalive: ask a silent peer, and give up on one that stays silent."""
        keepalive = self.limits.keepalive
        if keepalive is None or self.transport is None:
            return
        if self._heard:
            self._heard = False
            self._keepalive = self.timers.after(keepalive, self._probe)
            return
        self.engine.ping(_PING)
        self.flush()
        self._keepalive = self.timers.after(self.limits.keepalive_timeout, self._give_up)

    def _give_up(self) -> None:
        if self._heard:
            self._probe()
            return
        self.lost("the peer does not answer")
        self.abort()

    # -- the engine's side -----------------------------------------------------------------

    def on_request(
        self, stream_id: int, head: RequestHead, timeout: bytes | None, ended: bool
    ) -> None:
        """A client gets none."""

    def on_response(self, stream_id: int, headers: Any, ended: bool) -> None:
        """A server gets none."""

    def on_trailers(self, stream_id: int, headers: Any) -> None:  # noqa: ARG002
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.on_end()

    def on_data(self, stream_id: int, data: bytes, flow: int, ended: bool) -> None:
        self.engine.credit_connection(flow)
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.on_data(data, flow, ended)

    def on_reset(self, stream_id: int, error: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            self.forget(stream)
            stream.on_reset(error)

    def on_window(self, stream_id: int) -> None:
        if self.paused:
            return
        if stream_id:
            stream = self._shut.pop(stream_id, None)
            if stream is not None:
                stream.pump()
            return
        for _ in range(len(self._blocked)):
            if self.engine.outbound_flow_control_window <= 0 or not self._blocked:
                return
            self._blocked.pop(next(iter(self._blocked))).pump()

    def on_settings(self) -> None:
        """A larger initial window may have freed every stream."""
        if not self.paused:
            self._unblock()

    def on_goaway(self, last_stream_id: int, error: int, debug: bytes) -> None: ...

    def on_ping_answered(self, data: bytes) -> None: ...
