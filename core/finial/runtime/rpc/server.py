"""The gRPC server: handlers, listeners, and an orderly end."""

import asyncio
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from finial.runtime.rpc.accept import ServerConnection
from finial.runtime.rpc.admission import Admission, TurnedAway
from finial.runtime.rpc.callers import UnixCaller
from finial.runtime.rpc.context import ServerContext
from finial.runtime.rpc.doors import Door, TcpDoor, Tls, UnixDoor
from finial.runtime.rpc.gate import CallGate
from finial.runtime.rpc.limits import Limits
from finial.runtime.rpc.method import Method, Methods
from finial.runtime.rpc.push import PushStream
from finial.runtime.rpc.request import HeadCache
from finial.runtime.rpc.shapes import ServerBase
from finial.runtime.rpc.sockets import BoundPath, bind_tcp, bind_unix
from finial.runtime.rpc.status import StatusError
from finial.runtime.rpc.timers import MonotonicClock, Timers, WallClock
from finial.runtime.rpc.tls import ServerTls, trim_buffers

_LIMITS = Limits()
_ROUNDS = 4


class Server(ServerBase):
    """Serves grpcio's generated servicers.

    A handler may be what grpc.aio takes (a coroutine function, an async generator), a plain
    function that returns its response at once, or one that returns a PushStream. Responses that
    are bytes already are sent as they are.
    """

    def __init__(
        self, *, clock: MonotonicClock, gate: CallGate, limits: Limits = _LIMITS, name: str = ""
    ) -> None:
        self.clock = clock
        self.gate = gate
        self.limits = limits
        self.name = name
        self.methods = Methods()
        self.heads = HeadCache()
        self.timers = Timers(clock)
        self.wall_timers = Timers(WallClock(clock))
        self.admission = Admission()
        self.turned_away = TurnedAway(name or "server", self.timers)
        self.connections: set[ServerConnection] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._doors: list[Door] = []
        self._paths: list[BoundPath] = []
        self._idle = asyncio.Event()

    # -- what is served --------------------------------------------------------------------

    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]
    ) -> None:
        self.methods.add_generic(generic_rpc_handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        self.methods.add(service_name, method_handlers)

    # -- where -----------------------------------------------------------------------------

    async def listen_unix(self, path: Path, *, mode: int, group: int | None = None) -> None:
        """Listen on a Unix socket and accept at once.

        Raises:
            SocketInUseError: another program answers there.
            OSError: it cannot be made.
        """
        sock = bind_unix(path, mode=mode, group=group)
        self._paths.append(BoundPath(path))
        self._doors.append(await UnixDoor.open(self, sock))

    async def listen_tcp(self, host: str, port: int, tls: ServerTls) -> int:
        """Listen for TLS and accept at once; returns the port, chosen when `port` is 0.

        Raises:
            OSError: an address is in use, or not ours.
        """
        trim_buffers()
        doors = [TcpDoor(self, sock, tls) for sock in await bind_tcp(host, port)]
        self._doors += doors
        return doors[0].port

    # -- for how long ----------------------------------------------------------------------

    async def serve(self) -> None:
        """Run until cancelled, then drain."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.drain(self.limits.drain_grace)

    async def drain(self, grace: float) -> None:
        """Stop accepting, let calls end for `grace` seconds, cut what is left."""
        doors, self._doors = self._doors, []
        for door in doors:
            door.close()
        for path in self._paths:
            path.remove()
        self._paths.clear()
        for connection in list(self.connections):
            connection.drain()
        if self.connections and grace > 0:
            self.timers.after(grace, self._idle.set)
            self._idle.clear()
            await self._idle.wait()
        await self._cut()
        for door in doors:
            await door.closed()

    async def _cut(self) -> None:
        for connection in list(self.connections):
            connection.cut(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._give_way()
        for connection in list(self.connections):
            connection.abort()
        await self._give_way()
        await self.timers.close()
        await self.wall_timers.close()

    async def _give_way(self) -> None:
        """Let loops write what is queued, and tell their transports' ends: in the next rounds."""
        for _ in range(_ROUNDS):
            if not self.connections:
                return
            await asyncio.sleep(0)

    # -- for doors, connections and calls --------------------------------------------------

    def entering(
        self, who: int | str, peer: UnixCaller | str, tls: Tls | None
    ) -> "ServerConnection":
        """Return the connection of a caller that a door lets in."""
        return ServerConnection(self, who, peer, cast("ServerTls | None", tls))

    def connection_closed(self) -> None:
        if not self.connections:
            self._idle.set()

    def connection_age(self) -> float | None:
        """Return a connection's age limit, each a little different."""
        age = self.limits.connection_age
        if age is None:
            return None
        jitter = self.limits.connection_age_jitter
        return age * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311  # spreads load only

    def run(self, context: ServerContext, method: Method, request: Any) -> None:
        """Call the handler. Only what is not answered at once gets a task."""
        try:
            result = method.behaviour(request, context)
        except Exception as error:  # noqa: BLE001  # becomes the call's status
            context.fail(error)
            return
        if result.__class__ is bytes or isinstance(result, Message):
            if method.response_streaming:
                context.fail(TypeError(f"{method.path} is to stream, and gave one message"))
            else:
                context.answer(result)
        elif result.__class__ is not PushStream:
            self._start(context, method, result)

    def _start(self, context: ServerContext, method: Method, result: Any) -> None:
        if method.response_streaming:
            work: Any = _write_all(context, result)
        elif asyncio.iscoroutine(result):
            work = result
        elif hasattr(result, "__await__"):
            work = _wait_for(result)
        else:
            context.answer(result)
            return
        task = asyncio.get_running_loop().create_task(work, name=method.path)
        context.task = task
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(context, method, task))

    def _ended(self, context: ServerContext, method: Method, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        context.handler_ended()
        if task.cancelled():
            context.fail(StatusError(grpc.StatusCode.CANCELLED, "the handler was cancelled"))
        elif (error := task.exception()) is not None:
            context.fail(error)
        elif method.response_streaming:
            context.finish()
        else:
            context.answer(task.result())


async def _write_all(context: ServerContext, messages: Any) -> None:
    if hasattr(messages, "__aiter__"):
        try:
            async for message in messages:
                await context.write(message)
        finally:
            if hasattr(messages, "aclose"):
                await messages.aclose()
    elif hasattr(messages, "__await__"):
        await messages  # a coroutine that writes through the context
    else:
        for message in messages:
            await context.write(message)


async def _wait_for(awaitable: Any) -> Any:
    return await awaitable
