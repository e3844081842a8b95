"""The open streams of delegates: told what they asked for, for as long as they may have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.agent.cache.views import DelegatedTopic
from finial.agent.endpoints.streams import TopicStream
from finial.runtime.rpc import StatusError

if TYPE_CHECKING:
    from finial.agent.cache.workloads import Workloads
    from finial.agent.endpoints.delegates import Acting, Delegates
    from finial.agent.endpoints.streams import FanOut
    from finial.runtime.rpc import PushStream


class DelegatedStream(TopicStream):
    """A stream that ends with the delegate's right.

    It listens to that right as well as to its topic. Before each message the right is looked at
    again, and whether the process that it is about still runs.
    """

    __slots__ = ("_acting", "_delegate", "_delegates", "_workloads")

    def __init__(
        self,
        *,
        workloads: Workloads,
        delegates: Delegates,
        fan_out: FanOut,
        acting: Acting,
        topic: DelegatedTopic,
        stream: PushStream,
    ) -> None:
        rights = workloads.delegations
        # To make a view may cost another one that nobody listens to yet: each is listened to
        # before the next is made.
        self._delegate = workloads.view(acting.delegate)
        rights.listen(self._delegate, DelegatedTopic.RIGHT, self)
        view = workloads.view(acting.workload)
        rights.listen(view, topic, self)
        super().__init__(told_by=rights, fan_out=fan_out, view=view, topic=topic, stream=stream)
        self._workloads = workloads
        self._delegates = delegates
        self._acting = acting

    def open(self) -> None:
        """Say what there is to say at once; it listens already."""
        self.deliver()
        self._stream.on_done(self._over)

    def deliver(self) -> None:
        """Write the state as it is now, unless the caller has it, or may have it no more."""
        try:
            self._delegates.verify(self._acting)
        except StatusError as error:
            self._queued = False
            self._stream.close(error)
        else:
            super().deliver()

    def _over(self) -> None:
        self._workloads.delegations.unlisten(self._delegate, DelegatedTopic.RIGHT, self)
        super()._over()
        self._acting.close()
