"""The methods that a server serves, from grpcio's generated registrations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from finial.runtime.rpc.status import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


# Characters of a path that is not served that its caller gets to read again.
_MOST_NAMED = 200


class Method:
    """One RPC: how to read its requests, whom to ask, how to write its responses."""

    __slots__ = (
        "behaviour",
        "deserialize",
        "path",
        "request_streaming",
        "response_streaming",
        "serialize",
    )

    def __init__(self, path: str, handler: "grpc.RpcMethodHandler[Any, Any]") -> None:
        self.path = path
        self.request_streaming = bool(handler.request_streaming)
        self.response_streaming = bool(handler.response_streaming)
        self.deserialize: Any = handler.request_deserializer
        self.serialize: Any = handler.response_serializer
        self.behaviour: Any = (
            (handler.unary_unary, handler.unary_stream),
            (handler.stream_unary, handler.stream_stream),
        )[self.request_streaming][self.response_streaming]


@dataclass(slots=True)
class _CallDetails:
    method: str
    invocation_metadata: Any


class Methods:
    """The registry. Services come registered by name, or behind grpcio's generic handlers."""

    __slots__ = ("_by_path", "_generic", "_services")

    def __init__(self) -> None:
        self._by_path: dict[bytes, Method] = {}
        self._services: set[str] = set()
        self._generic: list[grpc.GenericRpcHandler] = []

    @property
    def services(self) -> frozenset[str]:
        """Full names of the services that came registered by name."""
        return frozenset(self._services)

    def add(self, service: str, handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]") -> None:
        self._services.add(service)
        for name, handler in handlers.items():
            path = f"/{service}/{name}"
            self._by_path[path.encode()] = Method(path, handler)

    def add_generic(self, handlers: "Iterable[grpc.GenericRpcHandler]") -> None:
        self._generic.extend(handlers)

    def find(self, path: bytes) -> Method:
        """Return the method served at `path`.

        Raises:
            StatusError: UNIMPLEMENTED, in the words of grpc-go.
        """
        method = self._by_path.get(path)
        return self._ask_generic(path) if method is None else method

    def _ask_generic(self, path: bytes) -> Method:
        text = path.decode("ascii", "replace")
        details = _CallDetails(text, ())
        for generic in self._generic:
            handler = generic.service(details)
            if handler is not None:
                method = Method(text, handler)
                self._by_path[path] = method
                return method
        text = text[:_MOST_NAMED]
        service, _, name = text.removeprefix("/").rpartition("/")
        if not service or not text.startswith("/"):
            raise _unimplemented(f"malformed method name: {text!r}")
        if service in self._services:
            raise _unimplemented(f"unknown method {name} for service {service}")
        raise _unimplemented(f"unknown service {service}")


def _unimplemented(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.UNIMPLEMENTED, message)
