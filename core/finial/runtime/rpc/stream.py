"""One stream of either side: messages in and out, each way held back by its reader."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
from h2.errors import ErrorCodes

from finial.runtime.rpc.framing import MessageReader, whole
from finial.runtime.rpc.status import StatusError

if TYPE_CHECKING:
    import asyncio

    from finial.runtime.rpc.connection import Connection

# Queued bytes go to the transport in such pieces, so that its high-water mark is seen in time.
FLUSH_AT = 64 * 1024
_SMALL = 512
# A short message takes more memory than bytes on the wire. Counted when more than a few wait.
_OBJECT = 64
_CROWD = 64


class Stream(ABC):
    """The half of a call that knows frames and windows but not its meaning.

    Outbound there is at most one message in the making; `write` waits for the peer to take it.
    Inbound the peer's window opens again as the reader takes messages: what waits is bounded by
    the window and one message.
    """

    __slots__ = (
        "_at",
        "_awaited",
        "_connection",
        "_debt",
        "_ended",
        "_expecting",
        "_failure",
        "_inbox",
        "_kept",
        "_last",
        "_messages",
        "_out",
        "_reader",
        "_since",
        "_stuck",
        "_writer",
        "charge",
        "lent",
        "stream_id",
    )

    def __init__(self, connection: "Connection", stream_id: int) -> None:
        self._connection = connection
        self.stream_id = stream_id
        self._messages: MessageReader | None = None
        self._inbox: deque[bytes] | None = None
        self._debt = 0  # bytes for which the peer's window is not to be opened again
        self.charge = 0  # bytes that the connection's accounts have for this stream
        self._kept = 0  # those of them that stay until the end
        self.lent = 0  # bytes that the message under way may be long
        self._expecting = False  # whether a message has
        self._awaited = False  # whether the rest of something is due from the peer
        self._since = 0.0  # since when
        self._stuck = 0.0  # since when the peer does not take all of `_out`
        self._ended = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._out: bytes | None = None
        self._at = 0
        self._last = False  # whether what is being sent half-closes the stream
        self._failure: BaseException | None = None

    # -- outbound --------------------------------------------------------------------------

    def put(self, framed: bytes, *, last: bool = False) -> bool:
        """Start to send; False when the peer's window or socket is full before the end.

        Ends the call instead when too much waits on this connection already.
        """
        connection = self._connection
        engine = connection.engine
        if connection.unsent and not connection.may_hold(len(framed)):
            self._refuse(_untaken())
            return False
        at = 0
        self._last = last
        if not connection.paused:
            at = engine.send_bytes(self.stream_id, framed, 0, end=last)
            if at > _SMALL and engine.queued >= FLUSH_AT:
                connection.flush()
        connection.flush_later()
        if at == len(framed):
            return True
        self._out, self._at = framed, at
        self._stuck = connection.timers.now()
        connection.unsent += len(framed)
        self.pump()
        if self._out is not None:
            connection.watch()
        return self._out is None

    def pump(self) -> None:
        """Send on where the peer's window or socket was full."""
        connection = self._connection
        engine = connection.engine
        while self._out is not None and not connection.paused and not engine.closed:
            at = engine.send_bytes(self.stream_id, self._out, self._at, end=self._last)
            if at == self._at:
                break
            self._at = at
            if at == len(self._out):
                self._drop()
            if engine.queued >= FLUSH_AT:
                connection.flush()
        connection.flush_later()
        if self._out is not None:
            connection.block(self)
            return
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        self._pumped()

    def hold(self, size: int) -> bool:
        """Count `size` bytes more, or less, that wait for the peer; False ends the call instead."""
        connection = self._connection
        if size > 0 and not connection.may_hold(size):
            self.give_up(_untaken())
            return False
        connection.unsent += size
        return True

    def _drop(self) -> None:
        """Send no more of the message under way."""
        if self._out is not None:
            self._connection.unsent -= len(self._out)
            self._out = None

    def _pumped(self) -> None:  # noqa: B027  # most streams have nothing more to do
        """Go on after everything has been taken by the peer."""

    async def write_framed(self, framed: bytes, *, last: bool = False) -> None:
        """Send a message with its prefix; returns when all of it has been handed over.

        Raises the reason why the stream has failed, if it has.
        """
        if self._out is not None or self._failure is not None:
            await self._writable()
        if not self.put(framed, last=last):
            await self._writable()

    async def _writable(self) -> None:
        while self._failure is None and self._out is not None:
            if self._writer is None or self._writer.done():
                self._writer = self._connection.loop.create_future()
            await self._writer
        if self._failure is not None:
            raise self._failure

    # -- inbound ---------------------------------------------------------------------------

    def on_data(self, data: bytes, flow: int, ended: bool) -> None:
        """Take data from the peer; `flow` is what it has taken of the windows."""
        if self._failure is None:
            connection = self._connection
            connection.intake.held += flow
            self.charge += flow
            try:
                message = None
                if self._messages is None:
                    message = whole(data, connection.limits.max_receive_message)
                if message is None:
                    self._feed(data)
                else:
                    self.on_message(message)
            except StatusError as error:
                self._refuse(error)
                return
            if not self._inbox:
                self._let_go()
        if ended:
            self.on_end()

    def _feed(self, data: bytes) -> None:
        reader = self._messages
        if reader is None:
            if not data:
                return
            limit = self._connection.limits.max_receive_message
            reader = self._messages = MessageReader(limit)
        for message in reader.feed(data):
            if self._expecting:
                self._complete_message()
            self.on_message(message)
        if reader.held:
            self._expect(reader.size)

    def _expect(self, size: int) -> None:
        """A message has begun, of `size` bytes or, with 0, of an unknown size."""
        self._expecting = True
        if not self._awaited:
            self.await_peer(self._connection.timers.now())
        if not size:
            return
        if not self.lent:
            self._connection.intake.begin(self, size)
        if self.lent:
            self._open_window()  # again, if padding has used it up
        else:
            self._unawait()  # it is we who let it wait

    def on_loan(self) -> None:
        """It is this stream's turn to go on with a long message."""
        self.await_peer(self._connection.timers.now())
        self._open_window()
        self._connection.flush_later()

    def _open_window(self) -> None:
        reader = self._messages
        if reader is not None and not self._ended:
            missing = reader.size - reader.held
            self._debt += self._connection.engine.open_window(self.stream_id, missing)

    @property
    def message_size(self) -> int:
        """Bytes of the message that has begun, with its prefix."""
        return 0 if self._messages is None else self._messages.size

    def _complete_message(self) -> None:
        """What had begun is there."""
        self._expecting = False
        self._connection.intake.settle(self)
        self._unawait()

    def _let_go(self) -> None:
        """Hold what the reader has taken no more, and let the peer send as much again."""
        size = self.charge - self._kept
        if self._messages is not None:
            size -= self._messages.held
        if size <= 0:
            return
        connection = self._connection
        self.charge -= size
        intake = connection.intake
        intake.held -= size
        if intake.withheld:
            intake.give_back()
        if self._debt:
            paid = min(size, self._debt)
            self._debt -= paid
            size -= paid
        connection.engine.credit_stream(self.stream_id, size)
        connection.flush_later()

    def on_message(self, message: bytes) -> None:
        """Take one message: into the inbox, unless a call knows better."""
        inbox = self._inbox
        if inbox is None:
            inbox = self._inbox = deque()
        inbox.append(message)
        if len(inbox) > _CROWD:
            self.charge += _OBJECT
            self._debt += _OBJECT
            self._connection.intake.held += _OBJECT
        self._wake()

    def on_end(self) -> None:
        """The peer has half-closed."""
        self._ended = True
        self._wake()

    @property
    def unfinished(self) -> int:
        """Bytes of a message whose end the peer has not sent."""
        return 0 if self._messages is None else self._messages.held

    async def read_bytes(self) -> bytes | None:
        """Return the next message; None after the last.

        Raises the reason why the stream has failed, if it has.
        """
        while not self._inbox:
            if self._ended:
                return None
            if self._failure is not None:
                raise self._failure
            self._reader = self._connection.loop.create_future()
            await self._reader
        message = self._inbox.popleft()
        if not self._inbox:
            self._let_go()
        return message

    async def messages(self, deserializer: Any) -> AsyncIterator[Any]:
        """Yield the messages until the peer half-closes."""
        while (raw := await self.read_bytes()) is not None:
            yield raw if deserializer is None else deserializer(raw)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # -- patience --------------------------------------------------------------------------

    def await_peer(self, now: float) -> None:
        """The peer has begun what it must end in time."""
        if not self._awaited:
            self._awaited = True
            self._since = now
            self._connection.awaited += 1

    def _unawait(self) -> None:
        if self._awaited:
            self._awaited = False
            self._connection.awaited -= 1

    def check(self, now: float) -> None:
        """Give up on a peer that has let a message, in or out, wait for too long."""
        limits = self._connection.limits
        if self._awaited and now - self._since >= limits.message_timeout:
            text = f"a message was not there after {limits.message_timeout:g} s"
            self.give_up(StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, text))
        elif self._out is not None and now - self._stuck >= limits.send_timeout:
            text = f"a message was not taken within {limits.send_timeout:g} s"
            self.give_up(StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, text))

    def settle_accounts(self) -> None:
        """Hold nothing any more, in or out: the connection has forgotten this stream."""
        if self._out is not None:
            self._drop()
        if self._awaited:
            self._unawait()
        intake = self._connection.intake
        if self._expecting:
            self._expecting, self._messages = False, None
            intake.settle(self)
        if self.charge:
            intake.release(self.charge)
            self.charge = 0

    # -- the end ---------------------------------------------------------------------------

    def break_off(self, error: BaseException) -> None:
        """Let reader and writer end with `error`; what has been received stays readable."""
        if self._failure is None:
            self._failure = error
        self._wake()
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def reset(self, error: ErrorCodes) -> None:
        """Tell the peer that the stream is over."""
        self._connection.forget(self)
        self._connection.engine.reset(self.stream_id, int(error))
        self._connection.flush_later()

    @abstractmethod
    def _refuse(self, error: StatusError) -> None:
        """End the call for what the peer has sent."""

    @abstractmethod
    def give_up(self, error: StatusError) -> None:
        """End the call here and now: the connection forgets it before this returns."""

    @abstractmethod
    def on_reset(self, error: int) -> None:
        """The peer has reset the stream."""

    @abstractmethod
    def on_lost(self, reason: str) -> None:
        """The connection is gone."""


def _untaken() -> StatusError:
    text = "too many messages on this connection wait to be taken"
    return StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
