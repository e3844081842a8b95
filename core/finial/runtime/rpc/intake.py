"""What one connection holds of its peer's bytes: how much, and whose message may go on.

Sans I/O. Held are: messages that no reader has taken, requests whose handler has not ended,
unfinished messages, and header fields of open calls. Up to the budget the connection's window is
credited as bytes come in, so that a stream without a reader stops no other. Above it the window is
credited as bytes are let go. Held are therefore never more than the budget and one window.

That could lock up if all of it were unfinished messages. So half of the budget is lent to messages
that are longer than their stream's window, one after the other: a stream that has such a loan is
sent the window for all of its message. The others wait with what fits their windows, and when the
budget is used up the one of them that holds most is ended. What then is left is either lent, and
can be finished, or has only to be taken by its reader.
"""

from typing import TYPE_CHECKING

import grpc

from finial.runtime.rpc.framing import PREFIX
from finial.runtime.rpc.status import StatusError

if TYPE_CHECKING:
    from finial.runtime.rpc.limits import Limits
    from finial.runtime.rpc.sender import Sender
    from finial.runtime.rpc.stream import Stream


class Intake:
    """The accounts of one connection, all in bytes."""

    __slots__ = ("_engine", "_lent", "_waiting", "held", "most", "withheld")

    def __init__(self, engine: "Sender", limits: "Limits") -> None:
        self._engine = engine
        self.most = max(limits.connection_memory, 2 * (limits.max_receive_message + PREFIX))
        self.held = 0
        self.withheld = 0  # of the connection's window
        self._lent = 0
        self._waiting: dict[Stream, None] | None = None

    def release(self, size: int) -> None:
        """Let go of `size` bytes that were held."""
        self.held -= size
        if self.withheld:
            self.give_back()

    def give_back(self) -> None:
        """Credit the connection's window with what was withheld, if that is over."""
        if self.held <= self.most:
            withheld, self.withheld = self.withheld, 0
            self._engine.credit_connection(withheld)

    def begin(self, stream: "Stream", size: int) -> None:
        """Lend `size` bytes to a message that has begun, or let its stream wait for its turn."""
        if self._waiting and stream in self._waiting:
            return
        # Whoever waits comes first: a long message would be overtaken by short ones for ever.
        if self._waiting or not self._lend(stream, size):
            if self._waiting is None:
                self._waiting = {}
            self._waiting[stream] = None

    def _lend(self, stream: "Stream", size: int) -> bool:
        if self._lent and self._lent + size > self.most // 2:
            return False
        self._lent += size
        stream.lent = size
        return True

    def settle(self, stream: "Stream") -> None:
        """Take back what was lent to a stream and lend it to those that wait."""
        if not stream.lent:
            if self._waiting:
                self._waiting.pop(stream, None)
            return
        self._lent -= stream.lent
        stream.lent = 0
        while self._waiting:
            following = next(iter(self._waiting))
            if not self._lend(following, following.message_size):
                return
            del self._waiting[following]
            following.on_loan()

    def relieve(self) -> None:
        """Above the budget, end those that wait for a loan and hold most."""
        while self.held > self.most and self._waiting:
            largest = max(self._waiting, key=_charge)
            del self._waiting[largest]
            text = "too many unfinished messages on this connection"
            largest.give_up(StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, text))


def _charge(stream: "Stream") -> int:
    return stream.charge
