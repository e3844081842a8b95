"""The one place that every call passes: authorisation and observation hang here."""

from typing import TYPE_CHECKING, Protocol

import grpc

if TYPE_CHECKING:
    from finial.runtime.rpc.context import ServerContext


class CallGate(Protocol):
    """Asked once before, and told once after, each call of a method that is served.

    What never becomes such a call (another content type, an unknown method, a compression that
    we do not have) is answered by the transport and does not come here.
    """

    def admit(self, context: "ServerContext") -> None:
        """Let the call in, or raise StatusError to refuse it. May set `context.identity`."""

    def finished(
        self, context: "ServerContext", code: grpc.StatusCode, message: str, seconds: float
    ) -> None:
        """Hear how an admitted or refused call ended, and how long it took."""


class OpenGate:
    """Admits everybody."""

    __slots__ = ()

    def admit(self, context: "ServerContext") -> None: ...

    def finished(
        self, context: "ServerContext", code: grpc.StatusCode, message: str, seconds: float
    ) -> None: ...
