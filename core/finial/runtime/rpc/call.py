"""One call at the server from its first frame to its last: the part that handlers do not see."""

import logging
from typing import TYPE_CHECKING, Any

import grpc
from h2.errors import ErrorCodes

from finial.runtime.observe import new_correlation_id
from finial.runtime.rpc import metadata as wire_metadata
from finial.runtime.rpc.deadline import parse_timeout
from finial.runtime.rpc.framing import frame
from finial.runtime.rpc.hpack import Header, encode_block
from finial.runtime.rpc.method import Method
from finial.runtime.rpc.request import RequestHead
from finial.runtime.rpc.status import DETAILS_KEY, StatusError, encode_message, pack_details
from finial.runtime.rpc.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.runtime.rpc.accept import ServerConnection
    from finial.runtime.rpc.callers import Caller
    from finial.runtime.rpc.push import PushStream
    from finial.runtime.rpc.timers import Timer

_log = logging.getLogger(__name__)

_OK = grpc.StatusCode.OK
_RESPONSE = ((b":status", b"200"), (b"content-type", b"application/grpc"))
_ACCEPT = (b"grpc-accept-encoding", b"identity")
_HEADERS = encode_block(_RESPONSE)
_TRAILERS = encode_block(((b"grpc-status", b"0"),))


class ServerCall(Stream):
    """Admits a request, gives it to its handler, sends what comes back, ends exactly once."""

    __slots__ = (
        "_asked",
        "_callbacks",
        "_code",
        "_correlation_id",
        "_deadline",
        "_details",
        "_done",
        "_head",
        "_headers_sent",
        "_lingering",
        "_method",
        "_push",
        "_request",
        "_server",
        "_started",
        "_status",
        "_trailers",
        "_trailing",
        "caller",
        "identity",
        "task",
    )

    def __init__(self, connection: "ServerConnection", stream_id: int, head: RequestHead) -> None:
        super().__init__(connection, stream_id)
        self._server: Any = connection.server  # it takes the ServerContext that this is
        self.caller: Caller = connection.caller
        self.identity: object = None
        self.task: Any = None
        self._head = head
        if head.size:
            self.charge = self._kept = head.size
            connection.intake.held += head.size
        self._lingering: int | None = None  # bytes held for a handler that is to stop
        self._method: Method | None = None
        self._asked = False  # whether the gate was
        self._started = 0.0
        self._deadline: Timer | None = None
        self._request: bytes | None = None
        self._headers_sent = False
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing: tuple[Header, ...] = ()
        self._status: tuple[grpc.StatusCode, str] | None = None
        self._trailers: bytes | None = None
        self._push: PushStream | None = None
        self._callbacks: list[Callable[[Any], None]] | None = None
        self._correlation_id: str | None = None
        self._done = False

    # -- the request -----------------------------------------------------------------------

    def begin(self, timeout: bytes | None, ended: bool) -> None:
        """Decide on a request by its header fields."""
        head = self._head
        try:
            _check_encoding(head.encoding)
            self._method = method = self._server.methods.find(head.path)
            if timeout is not None:
                self._set_deadline(timeout)
            self._started = self._server.clock.monotonic()
            self._asked = True
            self._server.gate.admit(self)
        except Exception as error:  # noqa: BLE001  # a gate's bug must not take the connection
            self.fail(error)
            return
        if method.request_streaming:
            self._server.run(self, method, self.messages(self.parse))
        elif not ended:
            self.await_peer(self._started)
        if ended:
            self.on_end()

    def on_message(self, message: bytes) -> None:
        method = self._method
        if self._status is not None or method is None:
            return
        if method.request_streaming:
            self._connection.request_completed()
            super().on_message(message)
        elif self._request is None:
            self._request = message
            self._kept = self.charge
            if not self._awaited:
                self.await_peer(self._started)  # for the end of the request
        else:
            raise StatusError(grpc.StatusCode.INTERNAL, "more than one request message")

    def on_end(self) -> None:
        self._ended = True
        if self._awaited:
            self._unawait()
        method = self._method
        if self._status is not None or method is None:
            return
        if self.unfinished:
            self.fail(StatusError(grpc.StatusCode.INTERNAL, "truncated request message"))
        elif method.request_streaming:
            self._connection.request_completed()
            super().on_end()
        else:
            self._handle(method)

    def _handle(self, method: Method) -> None:
        self._connection.request_completed()
        raw, self._request = self._request, None
        if raw is None:
            self.fail(StatusError(grpc.StatusCode.INTERNAL, "missing request message"))
            return
        try:
            request = self.parse(raw)
        except StatusError as error:
            self.fail(error)
            return
        self._server.run(self, method, request)

    def parse(self, raw: bytes) -> Any:
        """Return the request in `raw`; StatusError when it is none, which is the caller's fault."""
        deserialize = self._method.deserialize if self._method is not None else None
        if deserialize is None:
            return raw
        try:
            return deserialize(raw)
        except Exception:  # noqa: BLE001  # protobuf's, or whatever a deserializer raises
            text = "malformed request message"
            raise StatusError(grpc.StatusCode.INTERNAL, text) from None

    def _set_deadline(self, raw: bytes) -> None:
        seconds = parse_timeout(raw)
        if seconds is None:
            raise StatusError(grpc.StatusCode.INTERNAL, "malformed grpc-timeout")
        self._deadline = self._connection.timers.after(seconds, self._expired)

    # -- the answer ------------------------------------------------------------------------

    @property
    def sending(self) -> bool:
        """Whether the peer has not yet taken all of the last message."""
        return self._out is not None

    def serialize(self, message: Any) -> bytes:
        """Return the bytes of a response; bytes are taken for serialised."""
        if message.__class__ is bytes:
            raw: bytes = message
            return raw
        serialize = self._method.serialize if self._method is not None else None
        return bytes(message if serialize is None else serialize(message))

    def answer(self, message: Any) -> None:
        """Send the only response and end the call."""
        if self._status is not None:
            return
        if self._code is not None and self._code is not _OK:
            self.end(self._code, self._details)
            return
        try:
            framed = frame(self.serialize(message))
        except Exception as error:  # noqa: BLE001  # a handler's wrong return value
            self.fail(error)
            return
        self.send_framed(framed)
        self.end(_OK, self._details)

    def send_framed(self, framed: bytes) -> bool:
        """Start to send a message; False while the peer has not taken all of it."""
        if not self._headers_sent:
            self.send_headers()
        return self.put(framed)

    def send_headers(self, initial: tuple[Header, ...] = ()) -> None:
        if self._headers_sent or self._status is not None:
            return
        self._headers_sent = True
        block = encode_block(_RESPONSE + initial) if initial else _HEADERS
        self._connection.engine.send_block(self.stream_id, block, end=False)
        self._connection.flush_later()

    def finish(self) -> None:
        """End a stream whose handler has returned."""
        self.end(self._code or _OK, self._details)

    def end(self, code: grpc.StatusCode, message: str, trailing: tuple[Header, ...] = ()) -> None:
        """End the call with a status, once; after the message that is being sent, if any."""
        if self._status is not None:
            return
        self._status = (code, message)
        trailing += self._trailing
        if code is _OK and not message and not trailing and self._headers_sent:
            block = _TRAILERS
        else:
            block = _status_block(code, message, trailing, alone=not self._headers_sent)
            self._headers_sent = True
        if self._out is None:
            self._send_trailers(block)
        else:
            self._trailers = block
            # The handler is done with the request, however long the answer may wait.
            self._kept = self._head.size
            self._let_go()

    def fail(self, error: BaseException) -> None:
        """End the call with what a handler, a gate or the peer's bytes have raised.

        What is not a StatusError is ours: its text stays in the log.
        """
        if self._status is not None:
            return
        if isinstance(error, StatusError):
            self._refuse(error)
        elif isinstance(error, NotImplementedError) and self._code is not None:
            self.end(self._code, self._details)  # grpcio's generated default methods
        else:
            name = self._head.path.decode("ascii", "replace")
            _log.error("call %s of %s failed", self.correlation_id, name, exc_info=error)
            text = f"internal error, correlation id {self.correlation_id}"
            self._refuse(StatusError(grpc.StatusCode.INTERNAL, text))

    @property
    def correlation_id(self) -> str:
        """Names this call in logs; unique in this process."""
        if self._correlation_id is None:
            self._correlation_id = new_correlation_id()
        return self._correlation_id

    def _refuse(self, error: StatusError) -> None:
        if self._status is not None:
            return
        self._stop(error)
        trailing = wire_metadata.encode(error.trailing_metadata)
        if error.details:
            packed = pack_details(error.code, error.message, error.details)
            trailing += wire_metadata.encode([(DETAILS_KEY, packed)])
        if error.code is grpc.StatusCode.UNIMPLEMENTED and not self._headers_sent:
            trailing.append(_ACCEPT)
        self.end(error.code, error.message, tuple(trailing))

    def _send_trailers(self, block: bytes) -> None:
        connection = self._connection
        connection.engine.send_block(self.stream_id, block, end=True)
        if not self._ended:
            # The client may go on sending what nobody will read.
            connection.engine.reset(self.stream_id, int(ErrorCodes.NO_ERROR))
        connection.flush_later()
        self._complete()

    def _pumped(self) -> None:
        if self._trailers is not None:
            trailers, self._trailers = self._trailers, None
            self._send_trailers(trailers)
        elif self._push is not None:
            self._push.pumped()

    # -- the end ---------------------------------------------------------------------------

    def on_reset(self, error: int) -> None:  # noqa: ARG002  # every reset is a cancellation
        self._cut(StatusError(grpc.StatusCode.CANCELLED, "cancelled by the client"))

    def on_lost(self, reason: str) -> None:
        self._cut(StatusError(grpc.StatusCode.CANCELLED, reason))

    def give_up(self, error: StatusError) -> None:
        self.cut(error)

    def cut(self, error: StatusError) -> None:
        """End the call here and now, status or reset as the stream allows."""
        if self._status is None and self._out is None:
            self._refuse(error)
        if not self._done:
            self.reset(ErrorCodes.CANCEL)
            self._cut(error)

    def _expired(self) -> None:
        self.cut(StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded"))

    def _cut(self, error: StatusError) -> None:
        if self._status is None:
            self._status = (error.code, error.message)
        self._stop(error)
        self._trailers = None
        self._complete()

    def _stop(self, error: StatusError) -> None:
        """Stop the handler where it stands."""
        self.break_off(error)
        task, self.task = self.task, None
        if task is not None:
            # Until it has stopped it counts as a stream, and holds what it was given: nothing of
            # an unfinished message.
            unfinished = self.unfinished
            self._lingering, self.charge = self.charge - unfinished, unfinished
            self._connection.engine.lingering += 1
            task.cancel()

    def handler_ended(self) -> None:
        """Hear that the handler's task is over."""
        self.task = None
        if self._lingering is not None:
            self._connection.engine.lingering -= 1
            self._connection.intake.release(self._lingering)
            self._lingering = None

    def _complete(self) -> None:
        if self._done:
            return
        self._done = True
        self._connection.forget(self)
        if self._deadline is not None:
            self._deadline.cancel()
        try:
            self._tell_the_end()
        except Exception:  # noqa: BLE001  # must not take the connection's other calls with it
            _log.exception("after call %s", self.correlation_id)

    def _tell_the_end(self) -> None:
        if self._asked and self._status is not None:
            server = self._server
            seconds = server.clock.monotonic() - self._started
            server.gate.finished(self, *self._status, seconds)
        if self._push is not None:
            self._push.over()
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(self)


def _status_block(
    code: grpc.StatusCode, message: str, trailing: tuple[Header, ...], *, alone: bool
) -> bytes:
    """Return trailers; `alone` they open the response, too (Trailers-Only)."""
    fields: tuple[Header, ...] = _RESPONSE if alone else ()
    fields += ((b"grpc-status", b"%d" % code.value[0]),)
    if message:
        fields += ((b"grpc-message", encode_message(message)),)
    return encode_block(fields + trailing)


def _check_encoding(encoding: bytes) -> None:
    if encoding != b"identity":
        name = encoding[:40].decode("ascii", "replace")
        message = f"grpc-encoding {name!r} is not supported"
        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, message)
