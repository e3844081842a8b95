"""What every call on the agent's sockets passes: the table, the security header, the observers.

The header keeps browsers and other unwitting clients, which cannot set it, from fetching keys
(SPIFFE Workload Endpoint, section 4). Health and reflection don't need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import grpc

from finial.agent.endpoints.authorization import CallerKind, Socket, required_kind
from finial.runtime.observe import CallInfo
from finial.runtime.rpc import StatusError

if TYPE_CHECKING:
    from finial.runtime.observe import CallObserver
    from finial.runtime.rpc import ServerContext

GUARDED = "/SpiffeWorkloadAPI/"
HEADER = "workload.spiffe.io"


class AgentGate:
    """Admits the calls that the table has for a socket; tells the observer of each."""

    def __init__(self, observer: CallObserver, socket: Socket) -> None:
        self._observer = observer
        self._socket = socket

    def admit(self, context: ServerContext) -> None:
        """Let the call in. Raises StatusError."""
        method = context.method
        kind = required_kind(self._socket, method)
        call = CallInfo(context.correlation_id, method, context.caller, self._taken_for(kind))
        context.identity = call
        self._observer.started(call)
        if kind is None:
            raise StatusError(
                grpc.StatusCode.PERMISSION_DENIED, f"authorization denied for method {method}"
            )
        if method.startswith(GUARDED):
            values = [value for key, value in context.invocation_metadata() if key == HEADER]
            if values != ["true"]:
                raise StatusError(
                    grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request"
                )

    def _taken_for(self, kind: CallerKind | None) -> str:
        if self._socket is Socket.PUBLIC:
            return CallerKind.WORKLOAD.value
        return CallerKind.DELEGATE.value if kind is CallerKind.DELEGATE else "local"

    def finished(
        self, context: ServerContext, code: grpc.StatusCode, message: str, seconds: float
    ) -> None:
        """Tell the observer how the call ended."""
        self._observer.finished(cast("CallInfo", context.identity), code, message, seconds)
