"""The answer to requests that are HTTP but not gRPC's."""

from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from finial.runtime.rpc.hpack import Header, encode_block
from finial.runtime.rpc.request import RequestHead
from finial.runtime.rpc.stream import Stream

if TYPE_CHECKING:
    from finial.runtime.rpc.accept import ServerConnection
    from finial.runtime.rpc.status import StatusError
    from finial.runtime.rpc.timers import Timer

_MOST_BODY = 64 * 1024
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_WRONG_TYPE = b"this is a gRPC server: requests have the content type application/grpc\n"
_WRONG_METHOD = b"this is a gRPC server: requests have the method POST\n"


class Refusal(Stream):
    """Refuses a request with an HTTP status (415 or 405) and a sentence.

    A request is heard to its end first, so that one that breaks HTTP is answered as the breach
    that it is; one of more than 64 KiB, or slower than `request_timeout`, is not waited for.
    """

    __slots__ = ("_answered", "_patience", "_response", "_taken")

    def __init__(self, connection: "ServerConnection", stream_id: int, head: RequestHead) -> None:
        super().__init__(connection, stream_id)
        # Not the head: nobody accounts for its size.
        self._response = _answer_to(head)
        self._answered = False
        self._taken = 0
        self._patience: Timer | None = None

    def begin(self, ended: bool) -> None:
        """Wait for the end of the request, or answer at once when that has come."""
        if ended:
            self.on_end()
            return
        connection = self._connection
        self._patience = connection.timers.after(connection.limits.request_timeout, self._answer)

    def on_data(self, data: bytes, flow: int, ended: bool) -> None:  # noqa: ARG002
        """Take a body that nobody reads. Its window is not opened again."""
        self._taken += flow
        if ended:
            self.on_end()
        elif self._taken > _MOST_BODY:
            self._answer()

    def on_end(self) -> None:
        self._ended = True
        self._answer()

    def _answer(self) -> None:
        if self._answered:
            return
        self._answered = True
        self._forget_timer()
        headers, text = self._response
        self._connection.engine.send_block(self.stream_id, encode_block(headers), end=False)
        self.put(text, last=True)
        if self._out is None:
            self._complete()

    def _pumped(self) -> None:
        self._complete()

    def _complete(self) -> None:
        if not self._ended:
            self._connection.engine.reset(self.stream_id, int(ErrorCodes.NO_ERROR))
        self._connection.forget(self)

    # -- other ends ------------------------------------------------------------------------

    def cut(self, error: "StatusError") -> None:  # noqa: ARG002  # nobody asked for a status
        """End here and now."""
        self._forget_timer()
        self.reset(ErrorCodes.CANCEL)

    def on_reset(self, error: int) -> None:  # noqa: ARG002
        self._forget_timer()

    def on_lost(self, reason: str) -> None:  # noqa: ARG002
        self._forget_timer()

    def _refuse(self, error: "StatusError") -> None:
        self.cut(error)

    def give_up(self, error: "StatusError") -> None:
        self.cut(error)

    def _forget_timer(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def _answer_to(head: RequestHead) -> tuple[tuple[Header, ...], bytes]:
    if not head.grpc:
        return ((b":status", b"415"), _TEXT), _WRONG_TYPE
    return ((b":status", b"405"), (b"allow", b"POST"), _TEXT), _WRONG_METHOD
