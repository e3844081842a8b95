"""The agent's program as a process of its own, and workloads that are processes, too."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Self

PATIENCE = 30.0


class AgentProcess:
    """`finial-agent run` on a configuration in SPIRE's language."""

    def __init__(self, folder: Path, *, port: int, bundle: bytes, token: str = "") -> None:
        self.folder = folder
        self.socket = folder / "api.sock"
        self._port = port
        self._token = token
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        (folder / "bundle.pem").write_bytes(bundle)
        self._process: asyncio.subprocess.Process | None = None

    def _config(self) -> Path:
        path = self.folder / "agent.conf"
        path.write_text(f"""
agent {{
  data_dir = "{self.folder}/data"
  server_address = "127.0.0.1"
  server_port = "{self._port}"
  socket_path = "{self.socket}"
  trust_bundle_path = "{self.folder}/bundle.pem"
  trust_domain = "example.org"
  experimental {{ sync_interval = "200ms" }}
}}
plugins {{
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "disk" {{ plugin_data {{ directory = "{self.folder}/data" }} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
""")
        return path

    async def start(self) -> None:
        token = ("-joinToken", self._token) if self._token else ()
        self._token = ""
        program = (sys.executable, "-m", "finial.agent.cli.main", "run")
        with (self.folder / "agent.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *program,
                "-config",
                str(self._config()),
                *token,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
            )
        async with asyncio.timeout(PATIENCE):
            # Another process makes it: there is nothing to wait on but the file.
            while not self.socket.exists() and self._process.returncode is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            await self.end(signal.SIGTERM)

    async def end(self, number: signal.Signals) -> int:
        """Signal the process and return its exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return await self.wait()

    async def wait(self) -> int:
        assert self._process is not None
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    def descriptors(self) -> int:
        """Return how many file descriptors the process has open."""
        assert self._process is not None
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()
