"""What it costs to refuse frames: CPU milliseconds of the server for each refusal on the wire.

`python -m tests.bench.rpc.refused_frames` prints a line of JSON for each. Where a refusal ends the
connection, the making of the next one is in the figure.
"""

import json
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.fakes.rpc_process import RpcProcess, rpc_process
from tests.runtime.rpc.frames import END_HEADERS, END_STREAM, PREFACE, block, frame, literal
from tests.runtime.rpc.wire import REQUEST

MOST = 5.0
"""CPU milliseconds that no refusal may cost."""
_COUNT = 1000
_ROUNDS = 3
_BODY = b"\0\0\0\0\1x"
_GREETING = PREFACE + frame(4, 0, 0) + frame(4, 1, 0)
_LAST = frame(6, 0, 0, b"the last")
_PING, _PRIORITY = frame(6, 0, 0, bytes(8)), frame(2, 0, 1, bytes(5))


def _without(name: bytes, value: bytes | None = None) -> bytes:
    """Return a request's fields without one, or with another value in its place."""
    fields = dict(REQUEST)
    del fields[name]
    if value is not None:
        fields[name] = value
    return b"".join(literal(*field) for field in fields.items())


def _requests(fields: bytes, body: bytes, first: int = 1) -> bytes:
    return b"".join(
        frame(1, END_HEADERS, stream_id, fields) + frame(0, END_STREAM, stream_id, body)
        for stream_id in range(first, first + 2 * _COUNT, 2)
    )


_HELD = frame(1, END_HEADERS, 1, block(b"/test.Echo/Unread"))
# All on one connection, which goes on.
_STREAMS = {
    "stream_above_limit": (_HELD, _requests(block(), _BODY, 3)),
    "message_above_limit": (b"", _requests(block(), b"\0\x7f\xff\xff\xff")),
    "unknown_method": (b"", _requests(block(b"/test.Echo/Nope"), _BODY)),
    "content_type": (b"", _requests(_without(b"content-type", b"text/html"), _BODY)),
}
_BOMB = literal(b"x", b"v" * 3900, index=True)
# Each on a connection of its own, which it ends; and how many refusals it is.
_CONNECTIONS = {
    "header_list": (frame(1, END_HEADERS, 1, block() + _BOMB + b"\xbe" * 100), 1),
    "header_block": (frame(1, 0, 1, block()) + frame(9, 0, 1, bytes(16_000)) * 2, 1),
    "no_path": (frame(1, END_HEADERS | END_STREAM, 1, _without(b":path")), 1),
    "flood_ping": (_PING * 1100, 1100),
    "flood_priority": (_PRIORITY * 300, 300),
}


def _together(process: RpcProcess, before: bytes, frames: bytes) -> float:
    """Return the CPU time for frames of which each one is refused by itself."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(process.path))
        sock.sendall(_GREETING + before + _LAST)
        _read_up_to_last(sock)
        spent = process.cpu()
        # In pieces: what is refused is answered, and the answers have to be read.
        for at in range(0, len(frames), 16384):
            sock.sendall(frames[at : at + 16384])
            sock.setblocking(False)
            try:
                while sock.recv(1 << 20):
                    pass
            except BlockingIOError:
                sock.setblocking(True)
        sock.sendall(_LAST)
        _read_up_to_last(sock)
        return process.cpu() - spent


def _read_up_to_last(sock: socket.socket) -> None:
    out = b""
    while b"the last" not in out:
        data = sock.recv(1 << 20)
        assert data, "the connection was ended"
        out = out[-8:] + data


def _each(process: RpcProcess, frames: bytes, count: int) -> float:
    """Return the CPU time for so many connections that are ended."""
    before = process.cpu()
    for _ in range(count):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(process.path))
            sock.sendall(_GREETING + frames)
            try:
                while sock.recv(1 << 20):
                    pass
            except ConnectionResetError:
                pass
    return process.cpu() - before


def measure(folder: Path) -> list[dict[str, Any]]:
    """Return the lines, the best of some rounds. `folder` has a path short enough for sockets."""
    best: dict[str, float] = {}
    with rpc_process(folder, max_concurrent_streams=1) as process:
        for _ in range(_ROUNDS):
            for name, (before, frames) in _STREAMS.items():
                spent = _together(process, before, frames) / _COUNT
                best[name] = min(spent, best.get(name, spent))
            for name, (frames, refusals) in _CONNECTIONS.items():
                count = _COUNT // 5 if refusals == 1 else 10
                spent = _each(process, frames, count) / count / refusals
                best[name] = min(spent, best.get(name, spent))
    return [
        {"name": f"rpc.refused.{name}", "unit": "CPU ms", "value": round(spent * 1000, 4)}
        for name, spent in best.items()
    ]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="rpc") as folder:
        lines = measure(Path(folder))
    for line in lines:
        print(json.dumps(line))
    return int(any(line["value"] >= MOST for line in lines))


if __name__ == "__main__":
    sys.exit(main())
