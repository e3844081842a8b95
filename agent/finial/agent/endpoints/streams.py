"""Open streams: each is told what its view has, and again whenever that changes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import grpc

from finial.agent.cache.views import State, Topic
from finial.runtime.rpc import StatusError

if TYPE_CHECKING:
    from finial.agent.cache.views import Outcome, View
    from finial.agent.cache.workloads import Workloads
    from finial.runtime.rpc import PushStream

# Streams written to in one turn of the loop; a change that concerns thousands must not keep a
# new caller waiting until the last of them has been served.
_SLICE = 128

_UNAVAILABLE = {
    Topic.X509_SVID: "no X.509-SVID could be fetched from the server",
    Topic.X509_BUNDLES: "no X.509 bundle could be fetched from the server",
    Topic.JWT_BUNDLES: "no JWT bundle could be fetched from the server",
}


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

    __slots__ = ("_fan_out", "_queued", "_sent", "_stream", "_topic", "_view", "_workloads")

    def __init__(
        self,
        *,
        workloads: Workloads,
        fan_out: FanOut,
        view: View,
        topic: Topic,
        stream: PushStream,
    ) -> None:
        self._workloads = workloads
        self._fan_out = fan_out
        self._view = view
        self._topic = topic
        self._stream = stream
        self._sent: bytes | None = None
        self._queued = False

    def open(self) -> None:
        """Start to listen, and say what there is to say at once."""
        self._write(self._workloads.listen(self._view, self._topic, self))
        self._stream.on_done(self._over)

    def changed(self, outcome: Outcome) -> None:  # noqa: ARG002 - read when it is delivered
        if not self._queued:
            self._queued = True
            self._fan_out.add(self)

    def deliver(self) -> None:
        """Write the state as it is now, unless the caller has it."""
        self._queued = False
        self._write(self._view.outcomes[self._topic])

    def _write(self, outcome: Outcome) -> None:
        if outcome.state is State.READY:
            # A first message waits for all identities; a workload may take it for all there is.
            if outcome.message != self._sent and (outcome.complete or self._sent is not None):
                self._sent = outcome.message
                self._stream.send(outcome.message)
        elif outcome.state is State.NO_IDENTITY:
            self._stream.close(StatusError(grpc.StatusCode.PERMISSION_DENIED, "no identity issued"))
        elif outcome.state is State.UNAVAILABLE:
            self._stream.close(StatusError(grpc.StatusCode.UNAVAILABLE, _UNAVAILABLE[self._topic]))

    def _over(self) -> None:
        self._workloads.unlisten(self._view, self._topic, self)
