"""What every call on the agent's socket passes: the security header, and the observers.

The header keeps browsers and other unwitting clients, which cannot set it, from fetching keys
(SPIFFE Workload Endpoint, section 4). Health and reflection don't need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import grpc

from finial.runtime.observe import CallInfo
from finial.runtime.rpc import StatusError

if TYPE_CHECKING:
    from finial.runtime.observe import CallObserver
    from finial.runtime.rpc import ServerContext

GUARDED = "/SpiffeWorkloadAPI/"
HEADER = "workload.spiffe.io"


class WorkloadGate:
    """Admits calls with exactly one `workload.spiffe.io: true`; tells the observer of each."""

    def __init__(self, observer: CallObserver) -> None:
        self._observer = observer

    def admit(self, context: ServerContext) -> None:
        """Let the call in. Raises StatusError."""
        method = context.method
        call = CallInfo(context.correlation_id, method, context.caller, "workload")
        context.identity = call
        self._observer.started(call)
        if method.startswith(GUARDED):
            values = [value for key, value in context.invocation_metadata() if key == HEADER]
            if values != ["true"]:
                raise StatusError(
                    grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request"
                )

    def finished(
        self, context: ServerContext, code: grpc.StatusCode, message: str, seconds: float
    ) -> None:
        """Tell the observer how the call ended."""
        self._observer.finished(cast("CallInfo", context.identity), code, message, seconds)
