"""A server stream that is written to when there is news, without a task that waits for it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from finial.runtime.rpc.framing import frame
from finial.runtime.rpc.status import StatusError

if TYPE_CHECKING:
    from finial.runtime.rpc.context import ServerContext


class PushStream:
    """The sending half of a server stream whose every message replaces the one before.

    While the peer is slow only the newest unsent message is kept. Got from
    `context.push_stream()`, returned by the handler, held by whoever has the news.
    """

    __slots__ = ("_callback", "_closing", "_context", "_waiting", "done")

    def __init__(self, context: "ServerContext") -> None:
        self._context = context
        self._waiting: bytes | None = None
        self._closing: StatusError | bool = False
        self._callback: Callable[[], None] | None = None
        self.done = False

    def send(self, message: Any) -> None:
        """Send a message, or its serialised bytes. Never waits; nothing once the call is over."""
        if self.done or self._closing:
            return
        context = self._context
        framed = frame(context.serialize(message))
        if not context.sending:
            context.send_framed(framed)
        elif context.hold(len(framed) - len(self._waiting or b"")):
            self._waiting = framed

    def close(self, error: StatusError | None = None) -> None:
        """End the call: OK after the newest message, or `error` in place of it."""
        if self.done or self._closing:
            return
        self._closing = error or True
        if error is not None:
            self._forget()
        self.pumped()

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when the call is over, whoever ended it."""
        if self.done:
            callback()
        else:
            self._callback = callback

    def pumped(self) -> None:
        """Go on: the peer has taken what was being sent."""
        context = self._context
        if context.sending:
            return
        waiting = self._forget()
        if waiting is not None and not context.send_framed(waiting):
            return
        if isinstance(self._closing, StatusError):
            context.fail(self._closing)
        elif self._closing:
            context.end(grpc.StatusCode.OK, "")

    def over(self) -> None:
        """Hear that the call is over."""
        self.done = True
        self._forget()
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def _forget(self) -> bytes | None:
        """Let go of the message that waits, and return it."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._context.hold(-len(waiting))
        return waiting
