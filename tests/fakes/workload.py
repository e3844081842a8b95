"""An agent for tests: the real one, on a FakeServer, with a workload that asks it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any, Self, cast

from finial.agent import app
from finial.agent.config import agent_config
from finial.api.workload import workload_pb2 as pb
from finial.api.workload import workload_pb2_grpc as pb_grpc
from finial.runtime.config import parse_document
from finial.runtime.rpc import Channel

if TYPE_CHECKING:
    from pathlib import Path

    from finial.runtime.clock import Clock
    from tests.fakes.server import FakeServer

HEADER = (("workload.spiffe.io", "true"),)
MY_UID = f"unix:uid:{os.geteuid()}"


class RunningAgent:
    """Runs `app.run` in this process; `async with` stops it."""

    def __init__(
        self, folder: Path, server: FakeServer, *, clock: Clock, token: str = "", **settings: Any
    ) -> None:
        self.folder = folder
        self.socket = folder / "public" / "api.sock"
        self._server = server
        self._clock = clock
        self._token = token
        self._settings = settings
        self.task: asyncio.Task[None] | None = None
        self._channels: list[Channel] = []

    def config(self) -> Any:
        bundle = self.folder / "bundle.pem"
        bundle.write_bytes(self._server.bundle_pem())
        extra = "".join(f"  {name} = {value}\n" for name, value in self._settings.items())
        if "trust_bundle_path" not in self._settings and "insecure_bootstrap" not in self._settings:
            extra += f'  trust_bundle_path = "{bundle}"\n'
        text = f"""
agent {{
  data_dir = "{self.folder / "data"}"
  server_address = "127.0.0.1"
  server_port = "{self._server.port}"
  socket_path = "{self.socket}"
  trust_domain = "{self._server.td}"
  {f'join_token = "{self._token}"' if self._token else ""}
{extra}}}
plugins {{
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "disk" {{ plugin_data {{ directory = "{self.folder / "data"}" }} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"""
        return agent_config(parse_document(text, "agent.conf"))

    async def __aenter__(self) -> Self:
        if self.task is None:
            self.start()
        return self

    def start(self) -> None:
        self.task = asyncio.create_task(app.run(self.config(), clock=self._clock))

    async def __aexit__(self, *_: object) -> None:
        for channel in self._channels:
            await channel.close()
        await self.stop()

    async def stop(self) -> None:
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def stub(self) -> pb_grpc.SpiffeWorkloadAPIAsyncStub:
        """Return a client on a connection of its own, once the socket is there."""
        while not self.socket.exists():
            if self.task is not None and self.task.done():
                self.task.result()
            await asyncio.sleep(0.001)
        channel = Channel(f"unix:{self.socket}", clock=self._clock)
        self._channels.append(channel)
        return cast(
            "pb_grpc.SpiffeWorkloadAPIAsyncStub",
            pb_grpc.SpiffeWorkloadAPIStub(cast("Any", channel)),
        )

    async def fetch(self) -> pb.X509SVIDResponse:
        """Return the first message of a new X.509 stream."""
        stub = await self.stub()
        call = stub.FetchX509SVID(pb.X509SVIDRequest(), metadata=HEADER)
        message = await call.read()
        call.cancel()
        assert isinstance(message, pb.X509SVIDResponse)
        return message
