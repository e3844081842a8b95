"""What every handler gets around it, so that none can forget it.

`GuardedServer` stands between the generated `add_…Servicer_to_server` functions and the rpc
server. Before each method that agents may call it makes an agent's new serial number its only one
when it is used for the first time: the gate sees that in memory, and it must be durable before
the handler runs. A database that cannot serve ends any call as Unavailable: the caller may try
again, and learns nothing of the server's insides.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from finial.runtime.logging import log
from finial.runtime.rpc import ServerContext, StatusError
from finial.server.api.authorization import CallerKind, allowed_kinds
from finial.server.api.gate import Identity
from finial.server.datastore.errors import OutcomeUnknown, StoreError

if TYPE_CHECKING:
    from finial.server.api.settled import Settled

logger = logging.getLogger(__name__)

Behaviour = Callable[[Any, ServerContext], Any]
Promote = Callable[[ServerContext], Awaitable[None]]
"""Decides on a call in doubt; makes its serial number its agent's only one, durable on return."""

_ANSWERED_ANEW = frozenset(
    {
        "/spire.api.server.agent.v1.Agent/GetAgent",
        "/spire.api.server.entry.v1.Entry/GetEntry",
    }
)
"""Operators' methods that are answered from an index: what was written at another server is there.

Lists come from the database. What agents are answered from memory may be a moment old.
"""


class HandlerRegistry(Protocol):
    """What generated code registers handlers with."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]], /
    ) -> None: ...


class GuardedServer:
    """Registers handlers with `server`, each with its guard around it.

    `agreed` is there when other servers write to the database of this one: it returns once the
    indexes show what they have committed.
    """

    def __init__(
        self, server: HandlerRegistry, promote: Promote, agreed: Settled | None = None
    ) -> None:
        self._server = server
        self._promote = promote
        self._agreed = agreed

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Nothing: the same methods come as registered ones, by name."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Registers the service's methods; all of ours are unary or stream both ways."""
        guarded = {name: self._guard(f"/{service}/{name}", h) for name, h in handlers.items()}
        self._server.add_registered_method_handlers(service, guarded)

    def _guard(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        behaviour: Any = handler.unary_unary or handler.stream_stream
        if behaviour is None:
            return handler  # unary to stream: only health's Watch, which is not implemented
        if self._agreed is not None and method in _ANSWERED_ANEW:
            behaviour = _agreeing(behaviour, self._agreed)
        promotes = CallerKind.AGENT in allowed_kinds(method)
        guarded = _guarded(behaviour, self._promote if promotes else None)
        make = (
            grpc.unary_unary_rpc_method_handler
            if handler.unary_unary is not None
            else grpc.stream_stream_rpc_method_handler
        )
        return make(guarded, handler.request_deserializer, handler.response_serializer)


def _guarded(behaviour: Behaviour, promote: Promote | None) -> Behaviour:
    """`behaviour` with its guard: a coroutine function, or a plain one that answers at once.

    A plain one returns no awaitable: a call that ends before its task runs would leave it behind.
    """
    guarded = _waiting(behaviour, promote)
    if iscoroutinefunction(behaviour):
        return guarded

    def called(request: Any, context: ServerContext) -> Any:
        if promote is not None and _must_wait(context):
            return guarded(request, context)
        return behaviour(request, context)

    return called


def _waiting(behaviour: Behaviour, promote: Promote | None) -> Behaviour:
    async def called(request: Any, context: ServerContext) -> Any:
        try:
            if promote is not None and _must_wait(context):
                await promote(context)
            outcome = behaviour(request, context)
            return await outcome if isawaitable(outcome) else outcome
        except StoreError as error:
            raise _unavailable(error) from error

    return called


def _must_wait(context: ServerContext) -> bool:
    identity = context.identity
    return isinstance(identity, Identity) and (bool(identity.promotes) or identity.doubted)


def _agreeing(behaviour: Behaviour, agreed: Settled) -> Behaviour:
    async def called(request: Any, context: ServerContext) -> Any:
        await agreed()
        return behaviour(request, context)

    return called


def _unavailable(error: StoreError) -> StatusError:
    # The operator has to hear of it: the error says what is wrong and the way out.
    log(logger, logging.ERROR, "a call needed the datastore and it failed", error=str(error))
    if isinstance(error, OutcomeUnknown):
        # Not Unavailable: clients repeat what ends so by themselves.
        text = "it is not known whether the change was made; look before making it again"
        return StatusError(grpc.StatusCode.UNKNOWN, text)
    return StatusError(grpc.StatusCode.UNAVAILABLE, "the datastore cannot serve now; try again")
