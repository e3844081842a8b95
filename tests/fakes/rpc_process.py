"""A server of our transport in a process of its own, with limits of its own.

`python tests/fakes/rpc_process.py '{"loop": "uvloop", "files": 200, "limits": {...}}' SOCKET`
serves the echo of the transport's tests on SOCKET and, over TLS, on the port that it prints.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import Limits, OpenGate, Server, ServerTls, TlsIdentity
from tests.fakes.ca import FakeCa
from tests.runtime.rpc.echo import Echo

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = "spiffe://example.org/spire/server"


class RpcProcess:
    """What a test sees of the process."""

    def __init__(self, process: subprocess.Popen[str], path: Path) -> None:
        assert process.stdout is not None
        self.path = path
        self.pid = process.pid
        self.port = int(process.stdout.readline())

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def resident(self) -> int:
        """Bytes of memory that are its own."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
        private = sum(int(fields[f"Private_{kind}"].split()[0]) for kind in ("Clean", "Dirty"))
        return private * 1024


@contextmanager
def rpc_process(
    folder: Path, *, loop: str = "uvloop", files: int = 0, **limits: float
) -> Iterator[RpcProcess]:
    """A running server; `files` is its RLIMIT_NOFILE, this process's own when 0."""
    setting = json.dumps({"loop": loop, "files": files, "limits": limits})
    command = [sys.executable, __file__, setting, str(folder / "p")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield RpcProcess(process, folder / "p")
        finally:
            process.terminate()


class _Greedy(Echo):
    """Its `Later` opens as many files as its request says, and answers with how many it got."""

    def __init__(self) -> None:
        super().__init__()
        self._files: list[int] = []

    def plain(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        return request  # and keeps nothing, unlike what it overrides

    async def later(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        while self._files:
            os.close(self._files.pop())
        try:
            for _ in range(int(request)):
                self._files.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        return b"%d" % len(self._files)


async def _serve(path: Path, limits: dict[str, Any]) -> None:
    clock = SystemClock()
    server = Server(clock=clock, gate=OpenGate(), limits=Limits(**limits), name="test")
    _Greedy().register(server)
    ca = FakeCa(now=time.time())
    svid = ca.issue(SERVER)
    identity, roots = TlsIdentity(svid.chain, svid.key_pkcs8), (ca.bundle(),)
    tls = ServerTls(lambda: identity, lambda: roots, clock)
    await server.listen_unix(path, mode=0o600)
    print(await server.listen_tcp("127.0.0.1", 0, tls), flush=True)
    await server.serve()


def _main() -> None:
    setting = json.loads(sys.argv[1])
    if setting["files"]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(64, setting["files"]), setting["files"]))
    kinds = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    with asyncio.Runner(loop_factory=kinds[setting["loop"]]) as runner:
        runner.run(_serve(Path(sys.argv[2]), setting["limits"]))


if __name__ == "__main__":
    _main()
