"""One HTTP/2 connection on an asyncio transport: bytes in, one write a wake-up, back-pressure."""

import asyncio
import sys
import threading
from typing import Any, cast

from h2.exceptions import ProtocolError

from finial.runtime.rpc.engine import Engine
from finial.runtime.rpc.floods import FloodError
from finial.runtime.rpc.framing import PREFIX
from finial.runtime.rpc.intake import Intake
from finial.runtime.rpc.limits import Limits
from finial.runtime.rpc.request import HeadCache, RequestHead
from finial.runtime.rpc.stream import Stream
from finial.runtime.rpc.timers import Timer, Timers


class _ReadBuffer(threading.local):
    """The event loop fills it and hands it over in one go: all connections of a thread share it."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(64 * 1024))


_READ = _ReadBuffer()
# How often within the time that a peer has for a message it is looked whether it has run out.
_LOOKS = 8
_PING = b"finial\0\0"


class Connection(asyncio.BufferedProtocol):
    """What the two sides of a connection have in common."""

    __slots__ = (
        "_blocked",
        "_flush_due",
        "_heard",
        "_keepalive",
        "_most_unsent",
        "_read",
        "_reading",
        "_shut",
        "_watch",
        "awaited",
        "engine",
        "intake",
        "limits",
        "loop",
        "paused",
        "streams",
        "timers",
        "transport",
        "unsent",
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
        self.engine = Engine(self, limits, heads, timers.now, client=client)
        self.intake = Intake(self.engine, limits)
        self.streams: dict[int, Stream] = {}
        self.transport: asyncio.Transport | None = None
        self.paused = False
        # Who waits for the connection's window or the socket, and who for a window of its own:
        # apart, so that a peer cannot have all looked at for each frame that frees none.
        self._blocked: dict[int, Stream] = {}
        self._shut: dict[int, Stream] = {}
        longest = limits.max_receive_message + PREFIX
        self._most_unsent = sys.maxsize if client else max(limits.max_unsent, 8 * longest)
        self.unsent = 0  # bytes of messages that the peer has not taken whole
        self.awaited = 0  # streams on which something is due from the peer
        self._watch: Timer | None = None
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
            if isinstance(error, FloodError):
                self.flooded(error)
            self.lost(f"the peer broke HTTP/2: {error}")
            self.close()
        finally:
            self._reading = False
        if self.awaited:
            self.watch()
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
        for timer in (self._keepalive, self._watch):
            if timer is not None:
                timer.cancel()
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
        stream.settle_accounts()

    def may_hold(self, size: int) -> bool:
        """Whether `size` more bytes may wait for the peer to take them."""
        return self.unsent + size <= self._most_unsent

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

    def flooded(self, error: FloodError) -> None:
        """Hear that the connection ends for a flood."""

    def watch(self) -> None:
        """See to it that no message, in or out, waits for the peer for ever."""
        if self._watch is None and self.transport is not None:
            patience = min(self.limits.message_timeout, self.limits.send_timeout)
            self._watch = self.timers.after(patience / _LOOKS, self._look)

    def _look(self) -> None:
        self._watch = None
        now = self.timers.now()
        for stream in list(self.streams.values()):
            stream.check(now)
        if self.awaited or self.unsent:
            self.watch()

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

    def request_completed(self) -> None:
        """A client gets none."""

    def on_response(self, stream_id: int, headers: Any, ended: bool) -> None:
        """A server gets none."""

    def on_trailers(self, stream_id: int, headers: Any) -> None:  # noqa: ARG002
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.on_end()

    def on_data(self, stream_id: int, data: bytes, flow: int, ended: bool) -> None:
        intake = self.intake
        if intake.held > intake.most:
            intake.withheld += flow
        else:
            self.engine.credit_connection(flow)
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.on_data(data, flow, ended)
            if intake.held > intake.most:
                intake.relieve()

    def on_reset(self, stream_id: int, error: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.on_reset(error)
            if stream_id in self.streams:
                self.forget(stream)

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
