"""A server and an agent as an operator runs them: programs, configuration files, sockets, kills.

Everything of a lab lies in one folder of its own, short enough for sockets. Nothing of the programs
runs in the test's process; what they say goes to `server.log` and `agent.log`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from finial.api.spire import types_pb2 as types
from finial.api.spire.server import (
    agent_pb2,
    agent_pb2_grpc,
    bundle_pb2,
    bundle_pb2_grpc,
    entry_pb2,
    entry_pb2_grpc,
    svid_pb2,
    svid_pb2_grpc,
)
from finial.runtime.clock import SystemClock
from finial.server.api.bundle_codec import decode_bundle
from tests.fakes.daemon import PATIENCE, Daemon, Outcome, comes_true, run_program
from tests.fakes.grpcio import workload
from tests.fakes.server_api import csr
from tests.fakes.server_process import DOMAIN, RunningServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from finial.spiffe.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a test wants to be otherwise in the configuration files."""

    x509_ttl: str = "1h"
    agent_ttl: str = "1h"
    key_manager: str = "disk"
    log_level: str = "debug"
    signers: int = 1
    sync_interval: str = "200ms"
    flags: str = "[]"  # the feature flags of both
    postgres: str = ""  # the connection string of a database in place of SQLite
    limits: str = "ratelimit { attestation = false, signing = false }"


class Lab:
    """A server, an agent, and what an operator and a workload do with them."""

    def __init__(self, folder: Path, setting: Setting) -> None:
        self.folder = folder
        self.setting = setting
        self.port = free_port()
        self.server_data = folder / "server-data"
        self.agent_data = folder / "agent-data"
        self.bundle_file = folder / "bundle.pem"
        self.server = Daemon("server", folder / "server.conf", folder / "server.sock")
        self.agent = Daemon("agent", folder / "agent.conf", folder / "agent.sock")
        self.agent_id = ""
        self.write_server_config()
        self.write_agent_config()

    @property
    def database(self) -> Path:
        return self.server_data / "datastore.sqlite3"

    @property
    def keys(self) -> Path:
        return self.server_data / "keys.json"

    # --- configuration

    def write_server_config(self) -> None:
        setting, data = self.setting, self.server_data
        keys = f'keys_path = "{self.keys}"' if setting.key_manager == "disk" else ""
        kind = "postgres" if setting.postgres else "sqlite3"
        self.server.config.write_text(f"""
server {{
  bind_address = "127.0.0.1"
  bind_port = "{self.port}"
  socket_path = "{self.server.socket}"
  trust_domain = "{DOMAIN}"
  data_dir = "{data}"
  log_level = "{setting.log_level}"
  default_x509_svid_ttl = "{setting.x509_ttl}"
  agent_ttl = "{setting.agent_ttl}"
  {setting.limits}
  signers = {setting.signers}
  experimental {{ feature_flags = {setting.flags} }}
}}
plugins {{
  DataStore "sql" {{
    plugin_data {{
      database_type = "{kind}"
      connection_string = "{setting.postgres or self.database}"
    }}
  }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "{setting.key_manager}" {{ plugin_data {{ {keys} }} }}
}}
""")

    def write_agent_config(self) -> None:
        self.agent.config.write_text(f"""
agent {{
  data_dir = "{self.agent_data}"
  log_level = "{self.setting.log_level}"
  server_address = "127.0.0.1"
  server_port = "{self.port}"
  socket_path = "{self.agent.socket}"
  trust_bundle_path = "{self.bundle_file}"
  trust_domain = "{DOMAIN}"
  experimental {{
    sync_interval = "{self.setting.sync_interval}"
    feature_flags = {self.setting.flags}
  }}
}}
plugins {{
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "disk" {{ plugin_data {{ directory = "{self.agent_data}" }} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
""")

    # --- the operator

    async def admin(self, command: str, *flags: str) -> Outcome:
        """Run a command of `finial-server`, such as "entry show", against this server."""
        return await run_program(
            "server", *command.split(), "-socketPath", str(self.server.socket), *flags
        )

    async def call(self, stub: Callable[[Any], Any], method: str, request: Any) -> Any:
        """Make one call on the admin socket with grpcio's client; raises grpc.RpcError."""
        async with grpc.aio.insecure_channel(f"unix:{self.server.socket}") as channel:
            return await getattr(stub(channel), method)(request, timeout=PATIENCE)

    async def token(self, ttl: int = 600) -> str:
        request = agent_pb2.CreateJoinTokenRequest(ttl=ttl)
        return str((await self.call(agent_pb2_grpc.AgentStub, "CreateJoinToken", request)).value)

    async def bundle(self) -> Bundle:
        """The bundle as the server has it now."""
        request = bundle_pb2.GetBundleRequest()
        answer = await self.call(bundle_pb2_grpc.BundleStub, "GetBundle", request)
        return decode_bundle(answer, DOMAIN)

    async def write_bundle(self) -> None:
        """Write `bundle.pem`, with which the agent bootstraps."""
        authorities = (await self.bundle()).x509_authorities
        pem = b"".join(each.cert.public_bytes(Encoding.PEM) for each in authorities)
        self.bundle_file.write_bytes(pem)

    async def add(self, path: str, *, ttl: int = 0) -> str:
        """Create an entry for this very process below the agent; return its ID."""
        assert self.agent_id, "no agent has joined"
        return await self.create_entry(self.agent_id, path, ttl=ttl)

    async def create_entry(self, parent: str, path: str, *, ttl: int = 0) -> str:
        """Create an entry for processes of this user; return its ID. Raises grpc.RpcError."""
        entry = types.Entry(
            spiffe_id=types.SPIFFEID(trust_domain=DOMAIN.name, path=path),
            parent_id=types.SPIFFEID(trust_domain=DOMAIN.name, path=parent),
            selectors=[types.Selector(type="unix", value=f"uid:{os.geteuid()}")],
            x509_svid_ttl=ttl,
        )
        request = entry_pb2.BatchCreateEntryRequest(entries=[entry])
        answer = await self.call(entry_pb2_grpc.EntryStub, "BatchCreateEntry", request)
        assert answer.results[0].status.code == 0, answer
        return str(answer.results[0].entry.id)

    async def mint(self, path: str) -> tuple[bytes, ...]:
        """Mint an X509-SVID; return its chain, DER, leaf first. Raises grpc.RpcError."""
        request = svid_pb2.MintX509SVIDRequest(csr=csr(uris=[f"{DOMAIN.id.uri}{path}"]))
        answer = await self.call(svid_pb2_grpc.SVIDStub, "MintX509SVID", request)
        return tuple(answer.svid.cert_chain)

    async def mint_token(self, path: str) -> str:
        """Mint a JWT-SVID for the audience `test`. Raises grpc.RpcError."""
        spiffe_id = types.SPIFFEID(trust_domain=DOMAIN.name, path=path)
        request = svid_pb2.MintJWTSVIDRequest(id=spiffe_id, audience=["test"])
        return str((await self.call(svid_pb2_grpc.SVIDStub, "MintJWTSVID", request)).svid.token)

    async def entry_ids(self) -> set[str]:
        """All entries of the server."""
        request = entry_pb2.ListEntriesRequest(output_mask=types.EntryMask())
        answer = await self.call(entry_pb2_grpc.EntryStub, "ListEntries", request)
        return {each.id for each in answer.entries}

    @property
    def reach(self) -> RunningServer:
        """The server's addresses, to be connected to as an agent does."""
        return RunningServer(self.server.socket, self.port, SystemClock())

    # --- what happens

    async def join(self) -> None:
        """Start the agent for the first time."""
        await self.write_bundle()
        token = await self.token()
        self.agent_id = f"/spire/agent/join_token/{token}"
        await self.agent.start("-joinToken", token)

    async def serving(self, *paths: str) -> None:
        """Wait until the agent serves exactly these identities to this very process."""
        wanted = sorted(paths)
        await comes_true(self.identities, lambda served: served == wanted, told=self.agent.log)

    async def identities(self) -> list[str]:
        """The paths of the identities that the agent gives this process, or why there is none."""
        async with workload(self.agent.socket) as client:
            try:
                response = await client.call("FetchX509SVID")
            except grpc.aio.AioRpcError as error:
                return [error.code().name]
        return sorted(svid.spiffe_id.removeprefix(DOMAIN.id.uri) for svid in response.svids)

    def agent_svid(self) -> str:
        """The leaf of the agent's own SVID as it is stored."""
        return str(json.loads((self.agent_data / "agent-data.json").read_text())["svid"][0])

    async def close(self) -> None:
        await self.agent.clean_up()
        await self.server.clean_up()


@asynccontextmanager
async def empty_lab(**setting: Any) -> AsyncIterator[Lab]:
    """A lab in which nothing runs yet; what still runs at its end is killed."""
    if not entry_points(group="finial.node_attestors.server"):
        pytest.skip("run `pip install -e .` to register the attestors")
    lab = Lab(short_folder(), Setting(**setting))
    try:
        yield lab
    finally:
        await lab.close()
        shutil.rmtree(lab.folder)


def short_folder() -> Path:
    """A folder with a path short enough for sockets, open to workloads of other users."""
    folder = Path(tempfile.mkdtemp(prefix="finial-"))
    folder.chmod(0o755)
    return folder


@asynccontextmanager
async def server_lab(**setting: Any) -> AsyncIterator[Lab]:
    """A lab whose server runs."""
    async with empty_lab(**setting) as lab:
        await lab.server.start()
        yield lab


@asynccontextmanager
async def whole_lab(**setting: Any) -> AsyncIterator[Lab]:
    """A lab whose server runs, and whose agent has joined and serves `/db` to this process."""
    async with server_lab(**setting) as lab:
        await lab.join()
        await lab.add("/db")
        await lab.serving("/db")
        yield lab


def free_port() -> int:
    """A TCP port below those that the kernel hands out, so that it stays free over a restart."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
