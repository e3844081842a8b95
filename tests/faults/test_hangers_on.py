"""Clients that die at once, and clients that never read: neither costs the others anything."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection

from tests.fakes.daemon import Daemon, comes_true, value_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.lab import Lab

MANY = 200

# Fifty processes that ask for an identity and are dead before it can be given to them.
DIE = """
import os, socket, sys
request = bytes.fromhex(sys.argv[2])
for number in range(50):
    if os.fork() == 0:
        client = socket.socket(socket.AF_UNIX)
        client.connect(sys.argv[1])
        client.sendall(request[: None if number % 2 else number])
        os._exit(0)
for number in range(50):
    os.wait()
"""


def request(path: str) -> bytes:
    """The first bytes of a client that asks for a stream, and leaves no room for the answer."""
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    connection.update_settings({4: 0})  # SETTINGS_INITIAL_WINDOW_SIZE
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        "workload.spiffe.io": "true",
    }
    connection.send_headers(1, list(headers.items()))
    connection.send_data(1, b"\0\0\0\0\0", end_stream=True)
    return connection.data_to_send()


X509 = request("/SpiffeWorkloadAPI/FetchX509SVID")
LIST = request("/spire.api.server.entry.v1.Entry/ListEntries")


async def returns_to(daemon: Daemon, before: int) -> None:
    """Wait until the program has no more descriptors open than it had."""
    await comes_true(lambda: value_of(daemon.descriptors()), lambda now: now <= before)


async def settled(lab: Lab) -> tuple[int, int]:
    """Descriptors of agent and server once each has served a call and its client has left."""
    await lab.identities()
    counts = []
    for daemon in (lab.agent, lab.server):
        last = -1
        while (now := daemon.descriptors()) != last:
            last = now
            await asyncio.sleep(0.1)
        counts.append(now)
    return counts[0], counts[1]


async def test_workloads_that_die_right_after_connecting_leave_nothing_behind(lab: Lab) -> None:
    before, _ = await settled(lab)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DIE, str(lab.agent.socket), X509.hex()
    )
    assert await process.wait() == 0
    assert await lab.identities() == ["/db"]
    await returns_to(lab.agent, before)
    assert "Traceback" not in lab.agent.log()


async def connected(socket: Path, data: bytes) -> asyncio.StreamWriter:
    """A client that has asked and does not read."""
    reader, writer = await asyncio.open_unix_connection(socket, limit=1)
    del reader
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(data)
    await writer.drain()
    return writer


async def test_clients_that_never_read_hold_up_nobody_and_leave_nothing_behind(lab: Lab) -> None:
    agent_before, server_before = await settled(lab)
    held = [await connected(lab.agent.socket, X509) for _ in range(MANY)]
    held += [await connected(lab.server.socket, LIST) for _ in range(MANY)]
    await comes_true(lambda: value_of(lab.agent.descriptors()), lambda now: now > MANY)
    await lab.add("/later")
    await lab.serving("/db", "/later")
    for writer in held:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    await returns_to(lab.agent, agent_before)
    await returns_to(lab.server, server_before)
    assert "Traceback" not in lab.agent.log() + lab.server.log()
