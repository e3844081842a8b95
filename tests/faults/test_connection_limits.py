"""The limits on connections as an operator sets them, in the programs."""

import asyncio
import socket
from contextlib import ExitStack

from tests.fakes.daemon import Daemon
from tests.fakes.lab import empty_lab


def put(daemon: Daemon, section: str, *lines: str) -> None:
    """Add lines to a section of the configuration."""
    text = daemon.config.read_text()
    daemon.config.write_text(
        text.replace(f"{section} {{", "\n  ".join((f"{section} {{", *lines)), 1)
    )


def admitted(daemon: Daemon) -> int:
    """How many connections this user can have at once, of three."""
    with ExitStack() as held:
        socks = [held.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3)]
        for sock in socks:
            sock.connect(str(daemon.socket))
            sock.settimeout(0.5)
        return sum(not said(sock) for sock in socks)


def said(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1000)
    except TimeoutError:
        return b""


async def test_each_program_keeps_to_the_limits_of_its_file() -> None:
    async with empty_lab() as lab:
        put(lab.server, "server", "connections_per_uid = 2", "connections_per_address = 2")
        put(lab.agent, "agent", "connections_per_uid = 1")
        await lab.server.start()
        await lab.join()
        assert await asyncio.to_thread(admitted, lab.server) == 2
        assert await asyncio.to_thread(admitted, lab.agent) == 1
        assert "too many connections of one user" in lab.server.log()
        assert "raise connections_per_uid" in lab.agent.log()
        await lab.agent.stop()

        def tcp() -> int:
            with ExitStack() as held:
                kept = 0
                for _ in range(3):
                    try:
                        sock = socket.create_connection(("127.0.0.1", lab.port), timeout=5)
                        held.enter_context(sock)
                        sock.settimeout(0.5)
                        kept += sock.recv(1) != b""
                    except TimeoutError:
                        kept += 1
                    except ConnectionResetError:
                        pass
                return kept

        assert await asyncio.to_thread(tcp) == 2
