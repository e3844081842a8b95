"""grpcio's synchronous client, in threads, behind grpc.aio's interface."""

from __future__ import annotations

import asyncio
import queue
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc

from tests.runtime.rpc.matrix.ends import grpcio_client_options, grpcio_credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from tests.runtime.rpc.matrix.link import Options, Place

THREADS = 96
_AHEAD = 8  # requests that wait for the client's own thread


class GrpcioSyncClient:
    name = "grpcio-sync"

    @asynccontextmanager
    async def __call__(self, target: str, place: Place, options: Options) -> AsyncIterator[Any]:
        compression = grpc.Compression.Gzip if options.compression else None
        chosen = grpcio_client_options(options)
        credentials = grpcio_credentials(place)
        if credentials is None:
            channel = grpc.insecure_channel(target, chosen, compression)
        else:
            channel = grpc.secure_channel(target, credentials, chosen, compression)
        threads = ThreadPoolExecutor(THREADS)
        try:
            yield _Channel(channel, threads)
        finally:
            await asyncio.to_thread(channel.close)
            await asyncio.to_thread(threads.shutdown)


class _Channel:
    def __init__(self, channel: grpc.Channel, threads: ThreadPoolExecutor) -> None:
        self._channel = channel
        self._threads = threads

    def _with(self, kind: str, path: str) -> Callable[..., _Call]:
        from_stream, _, to = kind.partition("_")
        make: Any = getattr(self._channel, kind)(path)
        many = from_stream == "stream"

        def call(request: Any = None, **options: Any) -> _Call:
            requests = _Requests(request) if many else None
            started = make if to == "stream" else make.future
            return _Call(started(requests or request, **options), requests, self._threads)

        return call

    def unary_unary(self, path: str) -> Callable[..., _Call]:
        return self._with("unary_unary", path)

    def unary_stream(self, path: str) -> Callable[..., _Call]:
        return self._with("unary_stream", path)

    def stream_unary(self, path: str) -> Callable[..., _Call]:
        return self._with("stream_unary", path)

    def stream_stream(self, path: str) -> Callable[..., _Call]:
        return self._with("stream_stream", path)


class _Requests:
    """An iterator for the client's thread, fed by the event loop, which waits while it is full."""

    def __init__(self, given: AsyncIterator[bytes] | None) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue()
        self._room = asyncio.Semaphore(_AHEAD)
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        self._feeding = None if given is None else self._loop.create_task(self._feed(given))

    async def _feed(self, given: AsyncIterator[bytes]) -> None:
        async for request in given:
            await self.put(request)
        self.end()

    async def put(self, request: bytes) -> None:
        await self._room.acquire()
        if self._stopped:
            raise asyncio.InvalidStateError("the call is over")
        self._queue.put(request)

    def end(self) -> None:
        self._queue.put(None)

    def stop(self) -> None:
        """Feed no more: the call is over."""
        if self._feeding is not None:
            self._feeding.cancel()
        self._stopped = True
        self._room.release()
        self.end()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        request = self._queue.get()
        if request is None:
            self._queue.put(None)
            raise StopIteration
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._room.release)
        return request


class _Call:
    """grpc.aio's call, of a future or an iterator of grpcio's."""

    def __init__(self, call: Any, requests: _Requests | None, threads: ThreadPoolExecutor) -> None:
        self._call = call
        self._requests = requests
        self._threads = threads
        if requests is not None:
            loop = asyncio.get_running_loop()
            call.add_callback(lambda: loop.call_soon_threadsafe(requests.stop))

    def _wait(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    async def _result(self) -> Any:
        try:
            return await self._wait(self._call.result)
        except grpc.FutureCancelledError:
            raise asyncio.CancelledError from None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    async def read(self) -> Any:
        try:
            message = await self._wait(lambda: next(self._call, None))
        except grpc.RpcError:
            if self._call.cancelled():
                raise asyncio.CancelledError from None
            raise
        return grpc.aio.EOF if message is None else message

    async def write(self, request: bytes) -> None:
        assert self._requests is not None
        await self._requests.put(request)

    async def done_writing(self) -> None:
        assert self._requests is not None
        self._requests.end()

    def cancel(self) -> bool:
        return bool(self._call.cancel())

    def cancelled(self) -> bool:
        return bool(self._call.cancelled())

    def done(self) -> bool:
        return bool(self._call.done())

    async def code(self) -> grpc.StatusCode:
        code: grpc.StatusCode = await self._wait(self._call.code)
        return code

    async def details(self) -> str:
        return str(await self._wait(self._call.details))

    async def initial_metadata(self) -> Any:
        return await self._wait(self._call.initial_metadata)

    async def trailing_metadata(self) -> Any:
        return await self._wait(self._call.trailing_metadata)
