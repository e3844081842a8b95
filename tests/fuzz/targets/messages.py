"""Every request of every RPC, by every kind of caller; and every answer that an agent reads."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from finial.agent.sync import convert
from finial.api.spire import types_pb2
from finial.api.workload import workload_pb2
from finial.runtime.clock import SystemClock
from finial.runtime.rpc import Channel
from finial.spiffe import SpiffeError
from tests.fakes.callers import every_caller
from tests.fakes.requests import is_fault, methods, outcome_of
from tests.fakes.server import FakeServer
from tests.fakes.server_api import OFF, ApiLab
from tests.fakes.workload import HEADER, MY_UID, RunningAgent
from tests.fuzz.targets import wire
from tests.fuzz.targets.wire import bench

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

METHODS: tuple[MethodDescriptor, ...] = (
    *methods().values(),
    *(
        method
        for service in workload_pb2.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ),
)
WORKLOAD = workload_pb2.DESCRIPTOR.services_by_name["SpiffeWorkloadAPI"].full_name
RENEWED_AFTER = 2000
"""Calls on one server, before what they left in it makes the next ones slow."""


class World:
    """A server with callers of every kind, and an agent with one workload."""

    def __init__(self) -> None:
        self.calls = 0

    async def open(self) -> None:
        self._level = logging.getLogger("finial").level
        logging.getLogger("finial").setLevel(logging.ERROR)
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz")
        root = Path(self._folder.name)
        self.server = ApiLab(root, limits=OFF)
        await self.server.start()
        await self.server.authorities.start()
        callers = await every_caller(self.server)
        self._upstream = FakeServer(SystemClock())
        await self._upstream.start()
        self._upstream.add_entry("e1", "/w", MY_UID)
        token = self._upstream.add_token()
        (root / "agent").mkdir()
        self._agent = RunningAgent(root / "agent", self._upstream, clock=SystemClock(), token=token)
        self._agent.start()
        await self._agent.fetch()
        self.workload = Channel(f"unix:{self._agent.socket}", clock=SystemClock())
        unexpired = (each for name, each in callers.items() if not name.startswith("expired"))
        self.callers = tuple(each.channel for each in unexpired)

    async def close(self) -> None:
        await self.workload.close()
        await self._agent.__aexit__(None, None, None)
        await self._upstream.stop()
        await self.server.close()
        self._folder.cleanup()
        logging.getLogger("finial").setLevel(self._level)

    async def call(self, channel: Channel, method: MethodDescriptor, request: Any) -> None:
        """Make the call; AssertionError when it ends as only a fault of ours may."""
        await self.server.clock.advance(1)  # past any rate limit
        path = f"/{method.containing_service.full_name}/{method.name}"
        error, _ = await outcome_of(channel, method, request, HEADER)
        assert error is None or not is_fault(path, error), f"{path} {request}: {error}"


_WORLD: list[World] = []


async def _world() -> World:
    if _WORLD and _WORLD[0].calls >= RENEWED_AFTER:
        await _WORLD.pop().close()
    if not _WORLD:
        world = World()
        await world.open()
        _WORLD.append(world)
    _WORLD[0].calls += 1
    return _WORLD[0]


def request_message(data: bytes) -> None:
    """Two bytes choose the method and the caller; the rest is the message, sent twice in a stream.

    No message makes a method fail, whoever sends it, and none is answered by silence.
    """
    if len(data) < 2:
        return
    method = METHODS[data[0] % len(METHODS)]
    try:
        request = GetMessageClass(method.input_type).FromString(data[2:])
    except DecodeError:
        return
    bench().run(_ask(method, data[1], request))


async def _ask(method: MethodDescriptor, caller: int, request: Any) -> None:
    world = await _world()
    if method.containing_service.full_name == WORKLOAD:
        channel = world.workload
    else:
        channel = world.callers[caller % len(world.callers)]
    await world.call(channel, method, request)


def server_answer(data: bytes) -> None:
    """What an agent reads of a server's answers: entries and bundles, or a refusal of ours."""
    if not data:
        return
    kinds: tuple[tuple[Any, Any], ...] = (
        (types_pb2.Entry, convert.to_entry),
        (types_pb2.Bundle, convert.to_bundle),
        (types_pb2.SPIFFEID, convert.to_spiffe_id),
    )
    message, read = kinds[data[0] % len(kinds)]
    try:
        read(message.FromString(data[1:]))
    except (DecodeError, SpiffeError, ValueError):
        return


def close() -> None:
    """Let go of the server and the agent, and of the loop that they ran on."""
    while _WORLD:
        bench().run(_WORLD.pop().close())
    wire.close()
