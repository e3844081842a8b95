"""The one place that every call, issuance and administrative act passes.

It logs one structured line each, with a correlation ID; metrics, traces and the audit record
hang here as further observers. On the hot path it costs about a microsecond while the level is
off: no text is built before it is known to be wanted.
"""

import itertools
import logging
import secrets
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import grpc

from finial.runtime.logging import log

# The call that the running task serves: set when a call starts, inherited by its tasks, so that
# what is issued deep below carries the caller's ID without every function handing it down.
correlation: ContextVar[str] = ContextVar("correlation", default="")

_PREFIX = secrets.token_hex(4)
_NUMBERS = itertools.count(1)


def new_correlation_id() -> str:
    """A short ID: random for the process, counted within it. Names a call, guards nothing."""
    return f"{_PREFIX}-{next(_NUMBERS):x}"


class CallInfo(NamedTuple):
    """One call, as far as it is known when it starts.

    `caller` is turned into text only when it is printed. `kind` is what the caller was taken
    for: local, admin, agent, downstream, workload ... or empty. `peer` is where it calls from, when
    `caller` does not say so.
    """

    correlation_id: str
    method: str
    caller: object
    kind: str = ""
    peer: str = ""


class CallObserver(Protocol):
    """What is told of every call, exactly twice."""

    def started(self, call: CallInfo) -> None:
        """The call has been accepted; its handler has not run."""
        ...

    def finished(self, call: CallInfo, code: grpc.StatusCode, message: str, seconds: float) -> None:
        """The call has ended, for whatever reason."""
        ...


class Observer(CallObserver):
    """Logs calls at debug (failed ones at info) and acts at info.

    With `audit` every finished call and every act is a line at info marked `type=audit`.
    """

    def __init__(self, logger: logging.Logger, *, audit: bool = False) -> None:
        self._logger = logger
        self._audit = audit

    def started(self, call: CallInfo) -> None:
        correlation.set(call.correlation_id)

    def finished(self, call: CallInfo, code: grpc.StatusCode, message: str, seconds: float) -> None:
        # By identity, not by a set: an enum's hash alone would cost more than the rest of it.
        fine = code is grpc.StatusCode.OK or code is grpc.StatusCode.CANCELLED
        level = logging.DEBUG if fine and not self._audit else logging.INFO
        if self._logger.isEnabledFor(level):
            fields = _call_fields(call, code, message, seconds)
            log(self._logger, level, "call finished", **self._marked(fields))

    def act(self, name: str, /, *, level: int = logging.INFO, **fields: Any) -> None:
        """Something was issued or changed. `name` is a fixed text, `fields` say of what.

        Frequent acts pass `level=logging.DEBUG`; the audit record has them at info all the same.
        """
        wanted = logging.INFO if self._audit else level
        if self._logger.isEnabledFor(wanted):
            fields.setdefault("correlation_id", correlation.get())
            log(self._logger, wanted, name, **self._marked(fields))

    def _marked(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {"type": "audit", **fields} if self._audit else fields


def _call_fields(
    call: CallInfo, code: grpc.StatusCode, message: str, seconds: float
) -> dict[str, Any]:
    fields = {
        "correlation_id": call.correlation_id,
        "method": call.method,
        "caller": str(call.caller),
        "authorized_as": call.kind,
        "code": code.name,
        "ms": round(seconds * 1000, 3),
    }
    if call.peer:
        fields["peer"] = call.peer
    if message:
        fields["error"] = message
    return fields
