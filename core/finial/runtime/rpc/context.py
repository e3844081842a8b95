"""What a handler knows of its call and may do with it."""

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import grpc

from finial.runtime.rpc import metadata as wire_metadata
from finial.runtime.rpc.call import ServerCall
from finial.runtime.rpc.callers import UnixCaller
from finial.runtime.rpc.framing import frame
from finial.runtime.rpc.push import PushStream
from finial.runtime.rpc.shapes import ContextBase
from finial.runtime.rpc.status import Metadata, StatusError

_Pairs = Iterable[tuple[str, str | bytes]]


class ServerContext(ServerCall, ContextBase):
    """grpc.aio's ServicerContext, with the caller's credentials and push streams.

    Ours: `caller`, `method`, `correlation_id`, `identity` (the gate's to set), `push_stream`.
    """

    __slots__ = ()

    @property
    def method(self) -> str:
        """The RPC's path, `/service/method`."""
        return self._head.path.decode("ascii", "replace")

    def invocation_metadata(self) -> Metadata:  # type: ignore[override]  # a plain tuple of pairs
        return self._head.metadata

    def time_remaining(self) -> float | None:  # type: ignore[override]  # None without a deadline
        if self._deadline is None:
            return None
        left: float = self._deadline.when - self._server.clock.monotonic()
        return max(0.0, left)

    def peer(self) -> str:
        return "unix:" if isinstance(self.caller, UnixCaller) else self.caller.address

    def cancelled(self) -> bool:
        return self._status is not None and self._status[0] is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        return self._done

    def code(self) -> grpc.StatusCode:
        return self._code or grpc.StatusCode.OK

    def details(self) -> str:
        return self._details

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    def set_details(self, details: str) -> None:
        self._details = details

    def set_trailing_metadata(self, trailing_metadata: _Pairs) -> None:
        self._trailing = tuple(wire_metadata.encode(trailing_metadata))

    def trailing_metadata(self) -> Metadata:  # type: ignore[override]  # a plain tuple of pairs
        return wire_metadata.decode(self._trailing)

    async def send_initial_metadata(self, initial_metadata: _Pairs) -> None:
        self.send_headers(tuple(wire_metadata.encode(initial_metadata)))

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: _Pairs = ()
    ) -> NoReturn:
        """End the call with `code`. In a plain `def` handler raise StatusError instead."""
        error = StatusError(code, details)
        error.trailing_metadata = tuple(trailing_metadata)
        raise error

    async def read(self) -> Any:
        """Return the next request of a stream; grpc.aio.EOF after the last."""
        raw = await self.read_bytes()
        return grpc.aio.EOF if raw is None else self.parse(raw)

    async def write(self, message: Any) -> None:
        """Send one response; waits while the peer does not take it."""
        framed = frame(self.serialize(message))
        self.send_headers()
        await self.write_framed(framed)

    def push_stream(self) -> PushStream:
        """Return the stream to be returned by a plain `def` handler: it needs no task."""
        if self._push is None:
            self._push = PushStream(self)
        return self._push

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call `callback(context)` when the call is over, however it ended."""
        if self._done:
            callback(self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)
