"""A server and an agent of either family, as processes, on the very same configuration files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tests.interop.programs import Family, Outcome, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

T = TypeVar("T")

PATIENCE = 30.0
DOMAIN = "example.org"
SERVER_CONF = """
server {{
  bind_address = "127.0.0.1"
  bind_port = "{port}"
  socket_path = "{folder}/server.sock"
  trust_domain = "{domain}"
  data_dir = "{folder}/server"
  log_level = "DEBUG"
  default_x509_svid_ttl = "{ttl}"
  agent_ttl = "{agent_ttl}"
  ca_ttl = "{ca_ttl}"
  ratelimit {{ attestation = false, signing = false }}
  experimental {{
    cache_reload_interval = "1s"
    feature_flags = {flags}
  }}
}}
plugins {{
  DataStore "sql" {{
    plugin_data {{
      database_type = "sqlite3"
      connection_string = "{folder}/server/datastore.sqlite3"
    }}
  }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "disk" {{ plugin_data {{ keys_path = "{folder}/server/keys.json" }} }}
}}
"""
AGENT_CONF = """
agent {{
  data_dir = "{folder}/agent"
  log_level = "DEBUG"
  server_address = "127.0.0.1"
  server_port = "{port}"
  socket_path = "{folder}/agent.sock"
  trust_bundle_path = "{folder}/bundle.pem"
  trust_domain = "{domain}"
  {agent_more}
  experimental {{
    sync_interval = "1s"
    feature_flags = {flags}
  }}
}}
plugins {{
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "disk" {{ plugin_data {{ directory = "{folder}/agent" }} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"""


class Daemon:
    """A program that runs until it is told to stop."""

    def __init__(self, log: Path, *command: str) -> None:
        self._log = log
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *more: str) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, *more, stdout=log, stderr=asyncio.subprocess.STDOUT
            )

    @property
    def code(self) -> int | None:
        """Its exit code, once it has ended."""
        assert self._process is not None
        return self._process.returncode

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it, and return its exit code."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for its own end, and return its exit code."""
        assert self._process is not None
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    async def clear(self) -> None:
        """Leave nothing running."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def log(self) -> str:
        return self._log.read_text()


async def until(
    ask: Callable[[], Awaitable[T]], holds: Callable[[T], object], patience: float = PATIENCE
) -> T:
    """Ask until the answer is the awaited one. Raises AssertionError after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not holds(answer := await ask()):
        assert time.monotonic() < deadline, f"the last answer was {answer}"
        await asyncio.sleep(0.1)
    return answer


class Site:
    """A server with one agent that joins it by a token, in `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        server: Family,
        agent: Family,
        ttl: str = "1h",
        agent_ttl: str = "1h",
        ca_ttl: str = "24h",
        flags: str = "[]",
        agent_more: str = "",
    ) -> None:
        self.folder = folder
        self.server_family, self.agent_family = server, agent
        self.agent_id = ""
        settings = {"ttl": ttl, "agent_ttl": agent_ttl, "ca_ttl": ca_ttl, "flags": flags}
        self._write_files(**settings, agent_more=agent_more)
        command = (*server.server, "run", "-config", str(folder / "server.conf"))
        self.server = Daemon(folder / "server.log", *command)
        command = (*agent.agent, "run", "-config", str(folder / "agent.conf"))
        self.agent = Daemon(folder / "agent.log", *command)

    def _write_files(self, **settings: str) -> None:
        for name in ("server", "agent"):
            (self.folder / name).mkdir(parents=True)
        values = {"folder": self.folder, "port": free_port(), "domain": DOMAIN}
        (self.folder / "server.conf").write_text(SERVER_CONF.format(**values, **settings))
        (self.folder / "agent.conf").write_text(AGENT_CONF.format(**values, **settings))

    @property
    def socket(self) -> Path:
        """The Workload API."""
        return self.folder / "agent.sock"

    async def __aenter__(self) -> Self:
        try:
            await self.start_server()
            await self.join()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.agent.clear()
        await self.server.clear()

    async def start_server(self) -> None:
        await self.server.start()
        await self._until_well(self.server, (*self.server_family.server, "healthcheck"), "server")

    async def join(self) -> None:
        """Start the agent with a token of its own."""
        bundle = await self.command(self.server_family, "bundle", "show")
        (self.folder / "bundle.pem").write_text(bundle.out)
        token = (await self.answer("token", "generate"))["value"]
        self.agent_id = f"spiffe://{DOMAIN}/spire/agent/join_token/{token}"
        await self.start_agent("-joinToken", token)

    async def start_agent(self, *arguments: str) -> None:
        await self.agent.start(*arguments)
        await self._until_well(self.agent, (*self.agent_family.agent, "healthcheck"), "agent")

    async def _until_well(self, daemon: Daemon, ask: tuple[str, ...], name: str) -> None:
        path = self.folder / f"{name}.sock"

        async def outcome() -> Outcome:
            assert daemon.code is None, daemon.log()
            return await run(*ask, "-socketPath", str(path))

        try:
            await until(outcome, lambda said: said.code == 0)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{daemon.log()}") from None

    async def command(self, family: Family, *words: str, stdin: str = "") -> Outcome:
        """A command of the server's program, on the admin socket."""
        return await self._on(self.folder / "server.sock", family.server, words, stdin)

    @contextlib.asynccontextmanager
    async def watching(self, family: Family) -> AsyncIterator[asyncio.subprocess.Process]:
        """`api watch`, until the block interrupts or ends it."""
        process = await asyncio.create_subprocess_exec(
            *(*family.agent, "api", "watch", "-socketPath", str(self.socket)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def workload(self, family: Family, *words: str, stdin: str = "") -> Outcome:
        """A command of the agent's program, on the Workload API."""
        return await self._on(self.socket, family.agent, words, stdin)

    async def _on(
        self, path: Path, program: tuple[str, ...], words: tuple[str, ...], stdin: str
    ) -> Outcome:
        return await run(*program, *words, "-socketPath", str(path), stdin=stdin)

    async def answer(self, *words: str) -> Any:
        """What the server's own command line answers, from JSON."""
        outcome = await self.command(self.server_family, *words, "-output", "json")
        assert outcome.code == 0, outcome
        return json.loads(outcome.out)

    async def add(self, path: str, *more: str, selector: str = "unix:uid:0") -> str:
        """Create an entry below the agent; returns its ID."""
        words = ("-parentID", self.agent_id, "-spiffeID", f"spiffe://{DOMAIN}{path}")
        made = await self.answer("entry", "create", *words, "-selector", selector, *more)
        assert made["results"][0]["status"]["code"] == 0, made
        return str(made["results"][0]["entry"]["id"])

    async def add_many(self, count: int) -> None:
        """Create as many entries of one workload, by file."""
        entries = [
            {
                "spiffe_id": f"spiffe://{DOMAIN}/many/{number}",
                "parent_id": self.agent_id,
                "selectors": [{"type": "unix", "value": "uid:0"}],
            }
            for number in range(count)
        ]
        path = self.folder / "entries.json"
        path.write_text(json.dumps({"entries": entries}))
        await self.answer("entry", "create", "-data", str(path))

    async def svids(self) -> list[Any]:
        """The X.509-SVIDs that the agent's own command line fetches; none when it is refused."""
        words = ("api", "fetch", "x509", "-output", "json")
        outcome = await self.workload(self.agent_family, *words)
        return json.loads(outcome.out)["svids"] if outcome.code == 0 else []

    async def ids(self) -> list[str]:
        """The paths of the SPIFFE IDs that a workload gets."""
        return [svid["spiffe_id"].removeprefix(f"spiffe://{DOMAIN}") for svid in await self.svids()]

    async def svids_of(self, count: int) -> list[Any]:
        """The X.509-SVIDs, once there are as many."""
        return await until(self.svids, lambda svids: len(svids) == count)

    async def until_served(self, *paths: str) -> None:
        await until(self.ids, lambda served: served == list(paths))


def free_port() -> int:
    """A port that nobody listens on, and that stays the same over restarts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
