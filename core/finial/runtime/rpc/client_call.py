"""One call at the client, as grpc.aio shows it: awaitable, or an iterator of responses."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import grpc

from finial.runtime.rpc.client_stream import ClientStream
from finial.runtime.rpc.framing import frame
from finial.runtime.rpc.hpack import Header
from finial.runtime.rpc.status import Metadata, RpcError, StatusError

if TYPE_CHECKING:
    from finial.runtime.rpc.channel import Channel
    from finial.runtime.rpc.timers import Timer

_OK = grpc.StatusCode.OK
_CANCELLED = grpc.StatusCode.CANCELLED


class Rpc(NamedTuple):
    """What a stub knows of its method."""

    path: str
    serialize: Any
    deserialize: Any
    request_streaming: bool
    response_streaming: bool


class ClientCall:
    """A call under way. Ends by status, deadline or `cancel`, whatever comes first."""

    def __init__(
        self,
        channel: "Channel",
        rpc: Rpc,
        request: Any,
        metadata: tuple[Header, ...],
        timeout: float | None,
        *,
        wait_for_ready: bool,
    ) -> None:
        self._channel = channel
        self._wait_for_ready = wait_for_ready
        self._rpc = rpc
        self._request = request
        self._metadata = metadata
        loop = asyncio.get_running_loop()
        self._attempt: asyncio.Future[ClientStream] = loop.create_future()
        self._stream: ClientStream | None = None
        self._retried = False
        self._finished: asyncio.Future[None] = loop.create_future()
        self._status: tuple[grpc.StatusCode, str, Metadata] | None = None
        self._locally_cancelled = False
        self._callbacks: list[Callable[[Any], None]] = []
        self._deadline: Timer | None = None
        if timeout is not None:
            self._deadline = channel.timers.after(timeout, self._expired)
        self._task = loop.create_task(self._run(), name=rpc.path)

    # -- what the caller may ask -----------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Any]:
        return self._response().__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._responses()

    async def read(self) -> Any:
        """Return the next response; grpc.aio.EOF after the last.

        Raises:
            RpcError: the call ended with another status than OK.
        """
        raw = await self._guarded(self._read())
        if raw is None:
            await self._settled()
            return grpc.aio.EOF
        return self._deserialize(raw)

    async def write(self, request: Any) -> None:
        """Send one request of a stream; waits while the server does not take it."""
        await self._guarded(self._write(request))

    async def done_writing(self) -> None:
        """Half-close: there will be no more requests."""
        stream = await self._current()
        if stream.code is None:
            await stream.half_close()

    async def initial_metadata(self) -> Metadata:
        stream = await self._guarded(self._current())
        return cast("Metadata", await self._guarded(stream.first()))

    async def trailing_metadata(self) -> Metadata:
        await asyncio.shield(self._finished)
        return self._status[2] if self._status else ()

    async def code(self) -> grpc.StatusCode:
        await asyncio.shield(self._finished)
        return self._status[0] if self._status else grpc.StatusCode.UNKNOWN

    async def details(self) -> str:
        await asyncio.shield(self._finished)
        return self._status[1] if self._status else ""

    async def wait_for_connection(self) -> None:
        await self._current()

    def done(self) -> bool:
        return self._status is not None

    def cancelled(self) -> bool:
        return self._status is not None and self._status[0] is _CANCELLED

    def time_remaining(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, self._deadline.when - self._channel.clock.monotonic())

    def cancel(self) -> bool:
        """Stop the call; False when it was over already."""
        if self._status is not None:
            return False
        self._locally_cancelled = True
        self.abandon(_CANCELLED, "cancelled by the caller")
        return True

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        if self._status is not None:
            callback(self)
        else:
            self._callbacks.append(callback)

    # -- its life --------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._open()
            if self._rpc.request_streaming:
                await self._send_stream()
        except RpcError as error:
            self.abandon(error.code(), error.details())
        except StatusError as error:
            self.abandon(error.code, error.message)
        except asyncio.CancelledError:
            self.abandon(_CANCELLED, "cancelled by the caller")
        except Exception as error:  # noqa: BLE001  # from the caller's iterator or serializer
            self.abandon(grpc.StatusCode.INTERNAL, f"request failed: {type(error).__name__}")

    async def _open(self) -> None:
        rpc = self._rpc
        framed = None if rpc.request_streaming else self._frame(self._request)
        wait = self._wait_for_ready
        connection = await self._channel.connection(wait_for_ready=wait)
        headers = self._channel.request_headers(rpc.path, self.time_remaining(), self._metadata)
        stream = self._stream = connection.open(headers, self._over)
        self._attempt.set_result(stream)
        if framed is not None:
            stream.put(framed, last=True)

    async def _send_stream(self) -> None:
        requests = self._request
        if requests is None:
            return  # the caller writes
        if hasattr(requests, "__aiter__"):
            async for request in requests:
                await self._write(request)
        else:
            for request in requests:
                await self._write(request)
        stream = await self._current()
        if stream.code is None:
            await stream.half_close()

    def _over(self, stream: ClientStream) -> None:
        """The attempt has its status. A refused one is made again, once, if it can be."""
        if self._status is not None:
            return
        if stream.refused and not self._retried and not self._rpc.request_streaming:
            self._retried = stream.superseded = True
            loop = asyncio.get_running_loop()
            self._attempt = loop.create_future()
            self._task = loop.create_task(self._run(), name=self._rpc.path)
            return
        if stream.dropped and self.time_remaining() == 0:
            # The server's timer was heard before ours fired.
            self._settle(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded", ())
            return
        self._settle(stream.code or grpc.StatusCode.UNKNOWN, stream.message, stream.trailing)

    def abandon(self, code: grpc.StatusCode, message: str) -> None:
        """End the call from this side."""
        if self._status is not None:
            return
        self._settle(code, message, ())
        if self._stream is not None:
            self._stream.cancel(code, message)

    def _expired(self) -> None:
        self.abandon(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")

    def _settle(self, code: grpc.StatusCode, message: str, trailing: Metadata) -> None:
        self._status = (code, message, trailing)
        if self._deadline is not None:
            self._deadline.cancel()
        self._channel.calls.discard(self)
        self._task.cancel()
        if not self._attempt.done():
            self._attempt.cancel()
        if not self._finished.done():
            self._finished.set_result(None)
        for callback in self._callbacks:
            callback(self)
        self._callbacks.clear()

    # -- reading and writing ---------------------------------------------------------------

    async def _response(self) -> Any:
        raw = await self._guarded(self._read())
        if raw is not None:
            more = await self._guarded(self._read())
            await self._settled()
            if more is None:
                return self._deserialize(raw)
        await self._settled()
        raise RpcError(grpc.StatusCode.INTERNAL, "the server did not send exactly one response")

    async def _responses(self) -> AsyncIterator[Any]:
        try:
            while (raw := await self._guarded(self._read())) is not None:
                yield self._deserialize(raw)
        finally:
            self.cancel()
        await self._settled()

    async def _read(self) -> bytes | None:
        while True:
            stream = await self._current()
            raw = await stream.read_bytes()
            if raw is not None or not stream.superseded:
                return raw

    async def _write(self, request: Any) -> None:
        stream = await self._current()
        await stream.write_framed(self._frame(request))

    async def _current(self) -> ClientStream:
        """Return the stream of the present attempt; RpcError when there will be none."""
        try:
            return await asyncio.shield(self._attempt)
        except asyncio.CancelledError:
            if self._status is None or not self._attempt.cancelled():
                raise
            if self._locally_cancelled:
                raise
            raise RpcError(*self._status) from None

    async def _guarded(self, work: Any) -> Any:
        """Await `work`; whoever stops waiting for a call cancels it."""
        try:
            return await work
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def _settled(self) -> None:
        """Wait for the status; raise unless it is OK."""
        await self._guarded(asyncio.shield(self._finished))
        if self._locally_cancelled:
            raise asyncio.CancelledError
        if self._status is not None and self._status[0] is not _OK:
            raise RpcError(*self._status)

    def _frame(self, request: Any) -> bytes:
        serialize = self._rpc.serialize
        return frame(request if serialize is None else serialize(request))

    def _deserialize(self, raw: bytes) -> Any:
        deserialize = self._rpc.deserialize
        if deserialize is None:
            return raw
        try:
            return deserialize(raw)
        except Exception:  # noqa: BLE001  # protobuf's, or whatever a deserializer raises
            raise RpcError(grpc.StatusCode.INTERNAL, "malformed response message") from None
