"""The gRPC client: one connection, made when it is needed and again when it is lost."""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self, cast

import grpc

from finial.runtime.rpc import metadata as wire_metadata
from finial.runtime.rpc.client_call import ClientCall, Rpc
from finial.runtime.rpc.deadline import format_timeout
from finial.runtime.rpc.dial import ClientConnection, Target, dial
from finial.runtime.rpc.hpack import Header
from finial.runtime.rpc.limits import Limits
from finial.runtime.rpc.shapes import ChannelBase
from finial.runtime.rpc.status import StatusError
from finial.runtime.rpc.timers import MonotonicClock, Timers

if TYPE_CHECKING:
    from finial.runtime.rpc.tls import ClientTls

_LIMITS = Limits()
_USER_AGENT = b"grpc-python-finial/1"
# Seconds between attempts of calls that wait for their server.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


class Channel(ChannelBase):
    """Takes grpcio's generated stubs: `Stub(channel)`.

    The target is `unix:/path`, `host:port` or `[v6]:port`; with `tls` None it is spoken to in
    plain text. Calls raise RpcError; UNAVAILABLE says why there is no connection, unless
    the call was made with `wait_for_ready=True`.
    """

    def __init__(
        self,
        target: str,
        *,
        clock: MonotonicClock,
        tls: "ClientTls | None" = None,
        limits: Limits = _LIMITS,
    ) -> None:
        self.clock = clock
        self.timers = Timers(clock)
        self.calls: set[ClientCall] = set()
        self._name = target
        self._target = Target.parse(target)
        self._tls = tls
        self._limits = limits
        self._connection: ClientConnection | None = None
        self._leaving: set[ClientConnection] = set()
        self._connecting: asyncio.Task[ClientConnection] | None = None
        self._closed = False
        self._fixed: tuple[Header, ...] = (
            (b":method", b"POST"),
            (b":scheme", b"http" if tls is None else b"https"),
            (b":authority", self._target.authority.encode("ascii", "replace")),
        )
        self._common: tuple[Header, ...] = (
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", _USER_AGENT),
        )

    # -- for generated stubs ---------------------------------------------------------------

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        return self._callable(method, request_serializer, response_deserializer, False, False)

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        return self._callable(method, request_serializer, response_deserializer, False, True)

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        return self._callable(method, request_serializer, response_deserializer, True, False)

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,
    ) -> Any:
        return self._callable(method, request_serializer, response_deserializer, True, True)

    def _callable(
        self, path: str, serialize: Any, deserialize: Any, streaming: bool, responses: bool
    ) -> "Callable[..., ClientCall]":
        rpc = Rpc(path, serialize, deserialize, streaming, responses)

        def call(
            request: Any = None,
            timeout: float | None = None,
            metadata: Iterable[tuple[str, str | bytes]] | None = None,
            wait_for_ready: bool | None = None,
            **_unused: Any,
        ) -> ClientCall:
            headers = tuple(wire_metadata.encode(metadata)) if metadata else ()
            wait = bool(wait_for_ready)
            started = ClientCall(self, rpc, request, headers, timeout, wait_for_ready=wait)
            self.calls.add(started)
            return started

        return call

    # -- for calls -------------------------------------------------------------------------

    def request_headers(
        self, path: str, timeout: float | None, metadata: tuple[Header, ...]
    ) -> tuple[Header, ...]:
        headers = (*self._fixed, (b":path", path.encode()), *self._common)
        if timeout is not None:
            headers = (*headers, (b"grpc-timeout", format_timeout(timeout)))
        return headers + metadata

    async def connection(self, *, wait_for_ready: bool = False) -> ClientConnection:
        """Return a connection that takes one more stream.

        With `wait_for_ready` a server that cannot be reached is tried again, less and less often.

        Raises:
            StatusError: UNAVAILABLE, with the reason; CANCELLED once the channel is closed.
        """
        pause = _FIRST_PAUSE
        while True:
            connection = self._connection
            if connection is None or not connection.ready:
                try:
                    connection = await self._connect()
                except StatusError as error:
                    if not wait_for_ready or error.code is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    spread = random.uniform(0.8, 1.2)  # noqa: S311  # spreads load only
                    await self.clock.sleep(pause * spread)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    continue
            if not connection.full:
                return connection
            await connection.slot()

    async def _connect(self) -> ClientConnection:
        if self._closed:
            raise StatusError(grpc.StatusCode.CANCELLED, "the channel is closed")
        if self._connecting is None:
            task = asyncio.get_running_loop().create_task(self._dial(), name=f"to {self._name}")
            self._connecting = task
            task.add_done_callback(self._dialled)
        try:
            connection = await asyncio.shield(self._connecting)
        except (OSError, ValueError) as error:
            raise self._unavailable(str(error) or type(error).__name__) from None
        if not connection.ready:
            why = connection.farewell or "the server closed the connection at once"
            raise self._unavailable(why)
        return connection

    async def _dial(self) -> ClientConnection:
        this = cast("asyncio.Task[ClientConnection]", asyncio.current_task())
        limit = self._limits.connect_timeout
        late = False

        def expire() -> None:
            nonlocal late
            late = True
            this.cancel()

        timer = self.timers.after(limit, expire)
        try:
            return await dial(self._target, self._limits, self.timers, self._tls)
        except asyncio.CancelledError:
            if not late:
                raise
            raise TimeoutError(f"no answer within {limit:g} s") from None
        finally:
            timer.cancel()

    def _dialled(self, task: "asyncio.Task[ClientConnection]") -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    def _unavailable(self, reason: str) -> StatusError:
        text = f"cannot connect to {self._name}: {reason}"
        return StatusError(grpc.StatusCode.UNAVAILABLE, text)

    # -- the end ---------------------------------------------------------------------------

    def reconnect(self) -> None:
        """Make new calls on a new connection; those under way go on. For a changed identity."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.leave()

    async def close(self, grace: float | None = None) -> None:
        """Close; calls under way get `grace` seconds, none by default."""
        self._closed = True
        if grace and self.calls:
            waiting = asyncio.gather(*(call.code() for call in self.calls), return_exceptions=True)
            timer = self.timers.after(grace, lambda: _cancel_all(self.calls))
            await waiting
            timer.cancel()
        _cancel_all(self.calls)
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._connection is not None:
            self._connection.leave()
            self._connection = None
        await asyncio.sleep(0)
        await self.timers.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


def _cancel_all(calls: set[ClientCall]) -> None:
    for call in list(calls):
        call.abandon(grpc.StatusCode.CANCELLED, "the channel is closed")
