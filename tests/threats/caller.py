"""A workload that does not stay who it was: run as a program, `caller.py SOCKET STEP...`.

Steps, on one connection: `call` fetches an X.509-SVID and prints the outcome as a JSON line, an ID
or a gRPC status; `user:N` becomes user and group N; `child` goes on as a child whose parent ends;
`exec`, only before the first call, goes on as another program in the same process; `die` ends
without a word, with a stream open if it comes after `stream`.
"""

import json
import os
import signal
import socket
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, TrailersReceived

from finial.api.workload import workload_pb2 as pb

HEADERS = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/SpiffeWorkloadAPI/FetchX509SVID"),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("workload.spiffe.io", "true"),
)


def main(where: str, *steps: str) -> None:
    if where.isdigit():
        connected = socket.socket(fileno=int(where))  # it was connected before the exec
    else:
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(where)
    with connected:
        follow(connected, steps)


def follow(connected: socket.socket, steps: tuple[str, ...]) -> None:
    h2 = H2Connection(H2Configuration(header_encoding=None))
    h2.initiate_connection()
    for number, step in enumerate(steps):
        if step in {"call", "stream"}:
            report(call(connected, h2, keep=step == "stream"))
        elif step.startswith("user:"):
            become(int(step.removeprefix("user:")))
        elif step == "child":
            go_on_as_a_child()
        elif step == "exec":
            connected.set_inheritable(True)
            rest = (str(connected.fileno()), *steps[number + 1 :])
            os.execv(sys.executable, [sys.executable, __file__, *rest])
        elif step == "die":
            os.kill(os.getpid(), signal.SIGKILL)


def call(connected: socket.socket, h2: H2Connection, *, keep: bool) -> str:
    stream = h2.get_next_available_stream_id()
    h2.send_headers(stream, HEADERS)
    h2.send_data(stream, bytes(5), end_stream=True)
    connected.sendall(h2.data_to_send())
    body = b""
    while data := connected.recv(65536):
        for event in h2.receive_data(data):
            if isinstance(event, DataReceived):
                body += event.data
            if (status := status_in(event)) is not None:
                return status
        connected.sendall(h2.data_to_send())
        if len(body) > 5 and len(body) >= 5 + int.from_bytes(body[1:5], "big"):
            if not keep:
                h2.reset_stream(stream, error_code=8)
            connected.sendall(h2.data_to_send())
            return str(pb.X509SVIDResponse.FromString(body[5:]).svids[0].spiffe_id)
    return "closed"


def status_in(event: Event) -> str | None:
    if isinstance(event, (ResponseReceived, TrailersReceived)):
        found = [value.decode() for name, value in event.headers if name == b"grpc-status"]
        return found[0] if found else None
    return "no status" if isinstance(event, StreamEnded) else None


def become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def go_on_as_a_child() -> None:
    """Return in the child, once the kernel has made it somebody else's."""
    parent = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == parent:
        os.sched_yield()


def report(outcome: str) -> None:
    os.write(1, json.dumps(outcome).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
