"""An agent's new serial number becomes its only one when it is used first.

The gate sees that in memory; before the call's handler runs, it must be durable. `PromotingServer`
stands between the generated `add_…Servicer_to_server` functions and the rpc server and puts that
step before the handler of each method that agents may call: no handler can forget it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

import grpc

from finial.runtime.rpc import ServerContext
from finial.server.api.authorization import CallerKind, allowed_kinds
from finial.server.api.gate import Identity
from finial.spiffe import SpiffeId

Promote = Callable[[SpiffeId, str], Awaitable[None]]
"""Makes a serial number an agent's only one; durable, and seen by the gate, on return."""


class HandlerRegistry(Protocol):
    """What generated code registers handlers with."""

    def add_generic_rpc_handlers(self, handlers: Any, /) -> None: ...

    def add_registered_method_handlers(
        self,
        service: str,
        handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]],
        /,
    ) -> None: ...


class PromotingServer:
    """Registers handlers with `server`, each of an agent's methods behind the promotion."""

    def __init__(self, server: HandlerRegistry, promote: Promote) -> None:
        self._server = server
        self._promote = promote

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Nothing: the same methods come as registered ones, which can be wrapped by name."""

    def add_registered_method_handlers(
        self,
        service: str,
        handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]],
    ) -> None:
        wrapped = {name: self._wrap(f"/{service}/{name}", h) for name, h in handlers.items()}
        self._server.add_registered_method_handlers(service, wrapped)

    def _wrap(
        self,
        method: str,
        handler: grpc.RpcMethodHandler[Any, Any],
    ) -> grpc.RpcMethodHandler[Any, Any]:
        if CallerKind.AGENT not in allowed_kinds(method):
            return handler
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(handler.unary_unary),
                handler.request_deserializer,
                handler.response_serializer,
            )
        assert handler.stream_stream is not None, method
        return grpc.stream_stream_rpc_method_handler(
            self._streaming(handler.stream_stream),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _unary(self, behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        async def promoted(request: Any, context: ServerContext) -> Any:
            await self._settle(context)
            return await behaviour(request, context)

        def called(request: Any, context: ServerContext) -> Any:
            if _pending(context):
                return promoted(request, context)
            return behaviour(request, context)

        return called

    def _streaming(self, behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        async def called(requests: Any, context: ServerContext) -> AsyncIterator[Any]:
            if _pending(context):
                await self._settle(context)
            async for response in behaviour(requests, context):
                yield response

        return called

    async def _settle(self, context: ServerContext) -> None:
        identity = context.identity
        if isinstance(identity, Identity) and identity.agent is not None:
            await self._promote(identity.agent.id, identity.promotes)


def _pending(context: ServerContext) -> bool:
    identity = context.identity
    return isinstance(identity, Identity) and bool(identity.promotes)
