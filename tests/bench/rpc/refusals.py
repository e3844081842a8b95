"""What a refused connection costs the server: CPU milliseconds each, on the programs' event loop.

`python -m tests.bench.rpc.refusals` prints a line of JSON for each way to be refused, and for a
new connection that is served, to compare with.
"""

import json
import os
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection

from tests.fakes.rpc_process import RpcProcess, rpc_process
from tests.runtime.rpc.wire import request

_ROUNDS = 2000
_WARM = 200


def _asking() -> bytes:
    client = H2Connection(H2Configuration(header_encoding=None))
    client.initiate_connection()
    client.send_headers(1, request())
    client.send_data(1, b"\0\0\0\0\1x", end_stream=True)
    return client.data_to_send()


_ASKING = _asking()


def _unix(process: RpcProcess) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(process.path))
    return sock


def _tcp(process: RpcProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", process.port))


def _served(process: RpcProcess) -> None:
    with _unix(process) as sock:
        sock.sendall(_ASKING)
        while b"grpc-status" not in sock.recv(4096):
            pass


def _refused_user(process: RpcProcess) -> None:
    with _unix(process) as sock:
        assert b"too many" in sock.recv(4096)


def _refused_address(process: RpcProcess) -> None:
    try:
        with _tcp(process) as sock:
            assert sock.recv(4096) == b""
    except ConnectionResetError:
        pass


def _out_of_files(process: RpcProcess) -> None:
    with _unix(process) as sock:
        assert b"no room" in sock.recv(4096)


def _each(process: RpcProcess, once: Callable[[RpcProcess], None]) -> float:
    for _ in range(_WARM):
        once(process)
    before = process.cpu()
    for _ in range(_ROUNDS):
        once(process)
    return (process.cpu() - before) * 1000 / _ROUNDS


def _line(name: str, cpu_ms: float) -> dict[str, Any]:
    return {"name": f"rpc.{name}", "unit": "CPU ms", "value": round(cpu_ms, 4), "n": _ROUNDS}


def measure(folder: Path) -> list[dict[str, Any]]:
    """Return the lines. `folder` has a path short enough for sockets."""
    lines = []
    with rpc_process(folder, connections_per_uid=1, connections_per_address=1) as process:
        lines.append(_line("new_connection", _each(process, _served)))
        with _unix(process), _tcp(process):
            time.sleep(0.2)  # both have been accepted by then
            lines.append(_line("refused.per_uid", _each(process, _refused_user)))
            lines.append(_line("refused.per_address", _each(process, _refused_address)))
    with rpc_process(folder, files=100) as process, ExitStack() as held:
        for _ in range(50):
            held.enter_context(_unix(process))
        lines.append(_line("refused.descriptors", _each(process, _out_of_files)))
    return lines


def main() -> None:
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    with tempfile.TemporaryDirectory(prefix="rpc") as folder:
        for line in measure(Path(folder)):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
