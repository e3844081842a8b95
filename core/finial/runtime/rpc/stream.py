"""One stream of either side: messages in and out, each way held back by its reader."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from h2.errors import ErrorCodes

from finial.runtime.rpc.framing import MessageReader, whole
from finial.runtime.rpc.status import StatusError

if TYPE_CHECKING:
    import asyncio

    from finial.runtime.rpc.connection import Connection


class Stream(ABC):
    """The half of a call that knows frames and windows but not its meaning.

    Outbound there is at most one message in the making; `write` waits for the peer to take it.
    Inbound the peer's window opens again as the reader takes messages: what waits is bounded by
    the window and one message.
    """

    __slots__ = (
        "_at",
        "_connection",
        "_ended",
        "_failure",
        "_held",
        "_inbox",
        "_last",
        "_messages",
        "_out",
        "_reader",
        "_writer",
        "stream_id",
    )

    def __init__(self, connection: "Connection", stream_id: int) -> None:
        self._connection = connection
        self.stream_id = stream_id
        self._messages: MessageReader | None = None
        self._inbox: deque[bytes] | None = None
        self._held = 0  # bytes of the peer's window that wait for the reader
        self._ended = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._out: bytes | None = None
        self._at = 0
        self._last = False  # whether what is being sent half-closes the stream
        self._failure: BaseException | None = None

    # -- outbound --------------------------------------------------------------------------

    def put(self, framed: bytes, *, last: bool = False) -> bool:
        """Start to send; False when the peer's window or socket is full before the end."""
        connection = self._connection
        engine = connection.engine
        at = 0
        self._last = last
        if not connection.paused:
            at = engine.send_bytes(self.stream_id, framed, 0, end=last)
        connection.flush_later()
        if at == len(framed):
            return True
        self._out, self._at = framed, at
        self.pump()
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
                self._out = None
            if engine.queued >= 65536:
                connection.flush()
        connection.flush_later()
        if self._out is not None:
            connection.block(self)
            return
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        self._pumped()

    def _pumped(self) -> None:  # noqa: B027  # most streams have nothing more to do
        """Go on after everything has been taken by the peer."""

    async def write_framed(self, framed: bytes, *, last: bool = False) -> None:
        """Send a message with its prefix; returns when all of it has been handed over.

        Raises the reason why the stream has failed, if it has.
        """
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
        """Take data from the peer; the connection has credited itself already."""
        limit = self._connection.limits.max_receive_message
        try:
            if self._messages is None:
                message = whole(data, limit)
                if message is not None:
                    self._receive(message, flow)
                elif data:
                    self._messages = MessageReader(limit)
            if self._messages is not None:
                self._held += flow
                for message in self._messages.feed(data):
                    self._receive(message, 0)
                self._credit()
        except StatusError as error:
            self._refuse(error)
            return
        if ended:
            self.on_end()

    def _receive(self, message: bytes, flow: int) -> None:
        self._held += flow
        self.on_message(message)
        self._credit()

    def _credit(self) -> None:
        """Open the peer's window again unless whole messages wait for the reader."""
        if self._held and not self._inbox:
            held, self._held = self._held, 0
            self._connection.engine.credit_stream(self.stream_id, held)
            self._connection.flush_later()

    def on_message(self, message: bytes) -> None:
        """Take one message: into the inbox, unless a call knows better."""
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(message)
        self._wake()

    def on_end(self) -> None:
        """The peer has half-closed."""
        self._ended = True
        self._wake()

    @property
    def partial(self) -> bool:
        """Whether the peer has sent the beginning of a message and not its end."""
        return self._messages is not None and self._messages.partial

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
        self._credit()
        return message

    async def messages(self, deserializer: Any) -> AsyncIterator[Any]:
        """Yield the messages until the peer half-closes."""
        while (raw := await self.read_bytes()) is not None:
            yield raw if deserializer is None else deserializer(raw)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

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
    def on_reset(self, error: int) -> None:
        """The peer has reset the stream."""

    @abstractmethod
    def on_lost(self, reason: str) -> None:
        """The connection is gone."""
