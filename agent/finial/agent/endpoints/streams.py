"""Open streams: each is told what its view has, and again whenever that changes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import grpc

from finial.agent.cache.views import DelegatedTopic, State, Topic, WitTopic
from finial.runtime.rpc import StatusError

if TYPE_CHECKING:
    from typing import Any, Protocol

    from finial.agent.cache.views import AnyTopic, Listener, Outcome, View
    from finial.runtime.rpc import PushStream

# Streams written to in one turn of the loop; a change that concerns thousands must not keep a
# new caller waiting until the last of them has been served.
_SLICE = 128

_UNAVAILABLE: dict[AnyTopic, str] = {
    Topic.X509_SVID: "no X.509-SVID could be fetched from the server",
    Topic.X509_BUNDLES: "no X.509 bundle could be fetched from the server",
    Topic.JWT_BUNDLES: "no JWT bundle could be fetched from the server",
    Topic.WIT_BUNDLES: "no WIT bundle could be fetched from the server",
    DelegatedTopic.X509_SVIDS: "no X.509-SVID could be fetched from the server",
}
_NO_WIT = "no WIT-SVID could be fetched from the server"


if TYPE_CHECKING:

    class TellsOf(Protocol):
        """What can be listened to: Workloads, or the WIT-SVIDs in it."""

        def listen(self, view: View, topic: Any, listener: Listener) -> Outcome: ...
        def unlisten(self, view: View, topic: Any, listener: Listener) -> None: ...


class FanOut:
    """Spreads the writing of one change to many streams over turns of the loop."""

    def __init__(self) -> None:
        self._waiting: deque[TopicStream] = deque()

    def add(self, stream: TopicStream) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        self._waiting.append(stream)

    def _turn(self) -> None:
        for _ in range(min(_SLICE, len(self._waiting))):
            self._waiting.popleft().deliver()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)


class TopicStream:
    """One open stream: a Listener that writes each new state to the caller, whole."""

    __slots__ = ("_fan_out", "_queued", "_sent", "_stream", "_told_by", "_topic", "_view")

    def __init__(
        self,
        *,
        told_by: TellsOf,
        fan_out: FanOut,
        view: View,
        topic: AnyTopic,
        stream: PushStream,
    ) -> None:
        self._told_by = told_by
        self._fan_out = fan_out
        self._view = view
        self._topic = topic
        self._stream = stream
        self._sent: bytes | None = None
        self._queued = False

    def open(self) -> None:
        """Start to listen, and say what there is to say at once."""
        self._write(self._told_by.listen(self._view, self._topic, self))
        self._stream.on_done(self._over)

    def changed(self, outcome: Outcome) -> None:  # noqa: ARG002 - read when it is delivered
        if not self._queued:
            self._queued = True
            self._fan_out.add(self)

    def deliver(self) -> None:
        """Write the state as it is now, unless the caller has it."""
        self._queued = False
        outcome = self._view.outcomes.get(self._topic)
        if outcome is not None:  # else it was queued, and then its stream ended
            self._write(outcome)

    def _write(self, outcome: Outcome) -> None:
        if outcome.state is State.READY:
            # A first message waits for all identities; a workload may take it for all there is.
            if outcome.message != self._sent and (outcome.complete or self._sent is not None):
                self._sent = outcome.message
                self._stream.send(outcome.message)
        elif outcome.state is State.NO_IDENTITY:
            self._stream.close(StatusError(grpc.StatusCode.PERMISSION_DENIED, "no identity issued"))
        elif outcome.state is State.UNAVAILABLE:
            text = _UNAVAILABLE.get(self._topic, _NO_WIT)
            self._stream.close(StatusError(grpc.StatusCode.UNAVAILABLE, text))
        elif outcome.state is State.UNSUPPORTED:
            self._stream.close(unsupported(self._topic))

    def _over(self) -> None:
        self._told_by.unlisten(self._view, self._topic, self)


def unsupported(topic: AnyTopic) -> StatusError:
    """The answer where WIT-SVIDs are switched off, or not issued by the server (WEP, section 6)."""
    what = "WIT-SVIDs" if isinstance(topic, WitTopic) else "WIT bundles"
    return StatusError(grpc.StatusCode.UNIMPLEMENTED, f"fetching {what} is not implemented")
