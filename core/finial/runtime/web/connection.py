"""The server's side of a connection: requests in, answers out, and an end to whoever dawdles.

Whatever a client sends, it costs this connection only: what h11 refuses is answered with a status
and closed. Answers are made at once, so that there is never more than one unfinished request; a
client that doesn't take its answer isn't read from. Who sends many requests ahead has some of them
answered, then waits for its next turn; and a connection has an end, however busy.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextvars import copy_context
from email.utils import formatdate
from typing import TYPE_CHECKING, cast

import h11

from finial.runtime.observe import CallInfo, new_correlation_id
from finial.runtime.rpc.admission import Reason, name_of
from finial.runtime.rpc.callers import UnixCaller
from finial.runtime.web.message import REASONS, Request, Response
from finial.runtime.web.outcome import code_of

if TYPE_CHECKING:
    from finial.runtime.rpc.timers import Timer
    from finial.runtime.web.server import WebServer

_log = logging.getLogger(__name__)

_MALFORMED = Reason("malformed request", level=logging.INFO)
_SLOW = Reason("too slow", level=logging.INFO)
_WRONG = {431: "the header fields are too long", 501: "unknown transfer coding"}
_TURN = 8
"""Requests that are answered before all others on the loop have their turn."""
_MOST = 100
"""Requests that are answered on one connection."""
_UNANSWERED = frozenset({h11.IDLE, h11.SEND_RESPONSE})


class WebConnection(asyncio.Protocol):
    """One connection that was let in; `who` is the caller that it is counted under."""

    def __init__(
        self, server: "WebServer", who: int | str, peer: UnixCaller | str, *, secure: bool
    ) -> None:
        self.server = server
        self.who = who
        self.adopted = False
        self._peer = peer
        self._secure = secure
        self._http = h11.Connection(h11.SERVER, server.limits.max_head)
        self._transport: asyncio.Transport | None = None
        self._released = False
        self._request: h11.Request | None = None
        self._method = b""
        self._body = bytearray()
        self._reading = True  # a request is due, or has begun
        self._writing = False  # an answer waits for the client to take it
        self._ending = False
        self._draining = False
        self._answered = 0
        self._turn: asyncio.Handle | None = None  # to go on; meanwhile nothing is read
        self._timer: Timer | None = None

    # -- from accept to close --------------------------------------------------------------

    def adopt(self) -> "WebConnection":
        """Return this, to the loop that makes its transport."""
        self.adopted = True
        return self

    def settle(self) -> None:
        """Give back what was taken at accept, if the connection never came to be."""
        if self._transport is None:
            self._release()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.server.connections.add(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._ending = True
        self._forget_turn()
        if self._timer is not None:
            self._timer.cancel()
        self._release()
        self.server.connection_closed(self)

    def _release(self) -> None:
        if self._released:
            return
        self._released = True
        self.server.admission.leave(self.who)
        if isinstance(self._peer, UnixCaller) and self._peer.pidfd is not None:
            os.close(self._peer.pidfd)

    # -- what came -------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        if not self._reading:
            self._reading = True
            self._watch()
        self._http.receive_data(data)
        if self._turn is None:
            self._advance()

    def eof_received(self) -> bool:
        """Close: all that was asked for is on its way, and there is nobody to ask for more."""
        self._end()
        return False

    def pause_writing(self) -> None:
        self._writing = True
        if not self._ending and self._transport is not None:
            self._transport.pause_reading()
            self._watch()

    def resume_writing(self) -> None:
        self._writing = False
        if not self._ending and self._transport is not None:
            self._watch()
            # Not now: asyncio closes a transport twice that is closed from in here.
            self._go_on_soon()

    def _go_on_soon(self) -> None:
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._turn = None
        self._advance()
        self._read_on()

    def _read_on(self) -> None:
        if self._turn is None and not self._writing and self._transport is not None:
            self._transport.resume_reading()

    def _forget_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _advance(self) -> None:
        """Take what has come whole, and answer it; or some of it, and the rest soon."""
        until = self._answered + _TURN
        while not (self._ending or self._writing):
            if self._answered >= until and self._http.trailing_data[0]:
                assert self._transport is not None
                self._transport.pause_reading()
                self._go_on_soon()
                return
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                # Its own text quotes the request, which may hold a secret.
                status = error.error_status_hint
                self._refuse(status, _WRONG.get(status, "malformed request"))
                return
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            self._take(event)

    def _take(self, event: h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]) -> None:
        if isinstance(event, h11.Request):
            self._begin(event)
        elif isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > self.server.limits.max_body:
                self._refuse(413, "the body is too long")
        elif isinstance(event, h11.EndOfMessage):
            self._complete()
        else:
            self._end()

    def _begin(self, head: h11.Request) -> None:
        self._request = head
        self._method = head.method
        # Of what comes in one piece h11 bounds nothing.
        size = len(head.target) + sum(len(name) + len(value) + 4 for name, value in head.headers)
        if size > self.server.limits.max_head:
            self._refuse(431, "the header fields are too long")
        elif self._http.they_are_waiting_for_100_continue:
            self._refuse(417, "no body is waited for")

    # -- what is answered ------------------------------------------------------------------

    def _complete(self) -> None:
        assert self._request is not None
        head, self._request = self._request, None
        body, self._body = bytes(self._body), bytearray()
        request = _request(head, body, secure=self._secure)
        if request is None:
            self._refuse(400, "the target is no path")
            return
        response = copy_context().run(self._answer, request)
        is_last = self._answered + 1 >= _MOST
        self._send(response, close=is_last)
        if is_last:
            self._linger()
            return
        if self._http.our_state is not h11.DONE or self._draining:
            self._end()
            return
        self._http.start_next_cycle()
        self._method = b""
        self._reading = bool(self._http.trailing_data[0])
        self._watch()

    def _answer(self, request: Request) -> Response:
        server = self.server
        method = f"{server.name} {server.site.label(request)}"
        call = CallInfo(new_correlation_id(), method, self._caller())
        began = server.clock.monotonic()
        server.observer.started(call)
        try:
            response = server.site.answer(request)
        except Exception:  # noqa: BLE001  # one request's; the connection is to hear of it
            _log.exception("cannot answer a request")
            response = Response.refusal(500, "500 internal server error")
        text = "" if response.status < 400 else f"status {response.status}"
        seconds = server.clock.monotonic() - began
        server.observer.finished(call, code_of(response.status), text, seconds)
        return response

    def _caller(self) -> str:
        return self._peer if isinstance(self._peer, str) else name_of(self._peer.uid)

    def _send(self, response: Response, *, close: bool = False) -> None:
        headers = [("Date", formatdate(self.server.clock.time(), usegmt=True))]
        if response.status != 304:
            headers.append(("Content-Type", response.content_type))
            headers.append(("Content-Length", str(len(response.body))))
        headers += response.headers
        if close or self._draining:
            headers.append(("Connection", "close"))
        bodiless = response.status == 304 or self._method == b"HEAD"
        reason = REASONS.get(response.status, b"")
        head = h11.Response(status_code=response.status, headers=headers, reason=reason)
        events: list[h11.Event] = [head]
        if response.body and not bodiless:
            events.append(h11.Data(data=response.body))
        events.append(h11.EndOfMessage())
        sent = b"".join(self._http.send(event) or b"" for event in events)
        assert self._transport is not None
        if not self._answered:
            # To be told of what is not taken at once. Not before: the end of a handshake would
            # count, and not be sent while we don't read. Not 0: TLS would pause for nothing.
            self._transport.set_write_buffer_limits(high=1, low=0)
        self._answered += 1
        self._transport.write(sent)

    def _refuse(self, status: int, text: str) -> None:
        """Say what is wrong, and close; what else comes is dropped."""
        self.server.turned_away.note(_MALFORMED, name_of(self.who), text)
        if self._http.our_state in _UNANSWERED:
            self._send(Response.refusal(status, f"{status} {text}"), close=True)
        self._linger()

    def _linger(self) -> None:
        """Close soon; what else comes is dropped."""
        self._ending = True
        # To close now, with bytes unread, would reset the connection, and the answer with it.
        self._after(self.server.limits.linger, self._close)

    # -- time ------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Begin to wait for what is due next."""
        limits = self.server.limits
        if self._writing:
            self._after(limits.write_timeout, lambda: self._give_up("takes no answer"))
        elif self._reading:
            self._after(limits.request_timeout, self._not_asked)
        else:
            self._after(limits.idle_timeout, self._end)

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.server.timers.after(seconds, callback)

    def _not_asked(self) -> None:
        if self._http.our_state in _UNANSWERED:
            self._send(Response.refusal(408, "408 no whole request came in time"), close=True)
        self.server.turned_away.note(_SLOW, name_of(self.who), "no whole request in time")
        self._end()

    def _give_up(self, text: str) -> None:
        self.server.turned_away.note(_SLOW, name_of(self.who), text)
        self.abort()

    # -- letting go ------------------------------------------------------------------------

    def drain(self) -> None:
        """End after the request that is under way, else at once."""
        self._draining = True
        if not self._ending and (self._request is None or self._writing):
            self._end()

    def abort(self) -> None:
        """End now; what was not taken is lost."""
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        self._ending = True
        self._forget_turn()
        self._close()

    def _close(self) -> None:
        """Close as soon as the client has taken what is left, or has had its time to."""
        if self._transport is not None:
            self._transport.close()
            self._after(self.server.limits.write_timeout, self.abort)


def _request(head: h11.Request, body: bytes, *, secure: bool) -> Request | None:
    """The request with its path; None when its target has none (RFC 9112 section 3.2)."""
    headers: dict[str, str] = {}
    for name, value in head.headers:
        key, text = name.decode("ascii"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    host, target = headers.get("host", ""), head.target.decode("ascii")
    scheme, absolute, rest = target.partition("://")
    if absolute and scheme.lower() in ("http", "https"):
        # Section 3.2.2: the authority of such a target counts, not Host.
        host, slash, path = rest.partition("/")
        target = slash + path or "/"
    if not target.startswith("/"):
        return None
    return Request(
        method=head.method.decode("ascii"),
        path=target.partition("?")[0],
        host=host,
        headers=headers,
        body=body,
        secure=secure,
    )
