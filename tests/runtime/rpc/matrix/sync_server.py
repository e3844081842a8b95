"""grpcio's synchronous server: its threads wait for the handlers, which run on the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc

from tests.runtime.rpc.matrix.ends import grpcio_options
from tests.runtime.rpc.matrix.service import BOTH, FROM_STREAMS, SERVICE, STREAMS, UNARY, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.runtime.rpc.matrix.link import Options, Place

THREADS = 512
_NO_DEADLINE = 1e9


class GrpcioSyncServer:
    name = "grpcio-sync"

    @asynccontextmanager
    async def __call__(self, place: Place, options: Options) -> AsyncIterator[str]:
        compression = grpc.Compression.Gzip if options.compression else None
        threads = ThreadPoolExecutor(THREADS)
        server = grpc.server(threads, options=grpcio_options(options), compression=compression)
        handlers = _handlers(Service(), asyncio.get_running_loop())
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        target = _listening(server, place)
        server.start()
        try:
            yield target
        finally:
            # In threads: the handlers need the event loop to come to their end.
            await asyncio.to_thread(server.stop(0).wait)
            await asyncio.to_thread(threads.shutdown)


def _listening(server: grpc.Server, place: Place) -> str:
    own = place.server
    if own is None:
        target = f"unix:{place.socket}"
        server.add_insecure_port(target)
        return target
    credentials = grpc.ssl_server_credentials(
        [(own.key.read_bytes(), own.chain.read_bytes())],
        own.roots.read_bytes(),
        require_client_auth=True,
    )
    return f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"


def _handlers(service: Service, loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    handlers: dict[str, Any] = {}
    for names, make in (
        (UNARY, grpc.unary_unary_rpc_method_handler),
        (STREAMS, grpc.unary_stream_rpc_method_handler),
        (FROM_STREAMS, grpc.stream_unary_rpc_method_handler),
        (BOTH, grpc.stream_stream_rpc_method_handler),
    ):
        for name in names:
            behaviour = service.behaviour(name)
            streams = names in (STREAMS, BOTH)
            from_streams = names in (FROM_STREAMS, BOTH)
            sync = _streaming if streams else _answering
            handlers[name] = make(sync(behaviour, loop, from_streams=from_streams))
    return handlers


def _answering(
    behaviour: Any, loop: asyncio.AbstractEventLoop, *, from_streams: bool
) -> Callable[[Any, grpc.ServicerContext], bytes]:
    def handle(request: Any, context: grpc.ServicerContext) -> bytes:
        call = _Context(context, loop)
        given = _requests(request) if from_streams else request
        return call.run(behaviour(given, call))  # type: ignore[no-any-return]

    return handle


def _streaming(
    behaviour: Any, loop: asyncio.AbstractEventLoop, *, from_streams: bool
) -> Callable[[Any, grpc.ServicerContext], Iterator[bytes]]:
    def handle(request: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
        call = _Context(context, loop)
        given = _requests(request) if from_streams else request
        messages = behaviour(given, call)
        try:
            with suppress(StopAsyncIteration):
                while True:
                    yield call.run(anext(messages))
        finally:
            asyncio.run_coroutine_threadsafe(messages.aclose(), loop).result()

    return handle


async def _requests(given: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (request := await asyncio.to_thread(next, given, None)) is not None:
        yield request


def _cancel(future: Future[Any]) -> None:
    future.cancel()


class _AbortedError(Exception):
    """Carries what the handler's thread is to abort with."""


class _Context:
    """grpc.aio's context, as far as the service knows it."""

    def __init__(self, context: grpc.ServicerContext, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop
        self.invocation_metadata = context.invocation_metadata
        self.set_trailing_metadata = context.set_trailing_metadata

    def time_remaining(self) -> float | None:
        # Without a deadline grpcio counts to the end of its own time.
        left: float = self._context.time_remaining()
        return left if left < _NO_DEADLINE else None

    def run(self, work: Any) -> Any:
        """Wait for the handler in its own thread; the end of the call cancels it."""

        async def awaited() -> Any:
            return await work

        future = asyncio.run_coroutine_threadsafe(awaited(), self._loop)
        if not self._context.add_callback(lambda: _cancel(future)):
            future.cancel()
        try:
            return future.result()
        except CancelledError:
            self._context.abort(grpc.StatusCode.CANCELLED, "the call is over")
        except _AbortedError as error:
            code, details, trailing = error.args
            if trailing:
                self._context.set_trailing_metadata(trailing)
            self._context.abort(code, details)

    async def send_initial_metadata(self, pairs: Any) -> None:
        self._context.send_initial_metadata(pairs)

    async def abort(self, code: grpc.StatusCode, details: str, trailing: Any = ()) -> None:
        raise _AbortedError(code, details, trailing)
