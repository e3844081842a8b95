"""A call at the server, as far as gate and handlers look at it."""

from typing import Any

from finial.runtime.rpc import StatusError, TlsCaller, UnixCaller
from finial.spiffe.x509_svid import VerifiedX509Svid

LOCAL = UnixCaller(pid=1, uid=0, gid=0, pidfd=None)
ANONYMOUS = TlsCaller("192.0.2.1:4711", None)


class FakeCall:
    """Stands for a ServerContext; keeps what is written, and what it was cut for."""

    correlation_id = "test-1"

    def __init__(
        self,
        method: str = "/test/Test",
        caller: UnixCaller | TlsCaller = ANONYMOUS,
        *,
        identity: object = None,
        remaining: float | None = None,
    ) -> None:
        self.method = method
        self.caller = caller
        self.identity = identity
        self.remaining = remaining
        self.written: list[Any] = []
        self.cuts: list[StatusError] = []

    def cut(self, error: StatusError) -> None:
        self.cuts.append(error)

    def time_remaining(self) -> float | None:
        return self.remaining

    async def write(self, message: Any) -> None:
        self.written.append(message)


def svid_caller(svid: VerifiedX509Svid, address: str = "192.0.2.1:4711") -> TlsCaller:
    return TlsCaller(address, svid)
