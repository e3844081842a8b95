"""The two families of programs, and how one of them is run to its end."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

NO_SPIRE = "SPIRE's programs: set FINIAL_PEERS to their folder"
PATIENCE = 60.0


@dataclass(frozen=True)
class Family:
    """A server's and an agent's program, as the words that a command line begins with."""

    name: str
    server: tuple[str, ...]
    agent: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What an invocation left behind."""

    code: int
    out: str
    err: str


FINIAL = Family(
    "finial",
    (sys.executable, "-m", "finial.server.cli.main"),
    (sys.executable, "-m", "finial.agent.cli.main"),
)


def spire() -> Family:
    """SPIRE's programs; skips the test where there are none."""
    folder = Path(os.environ.get("FINIAL_PEERS") or "/nonexistent")
    server, agent = folder / "spire-server", folder / "spire-agent"
    if not (server.exists() and agent.exists()):
        pytest.skip(NO_SPIRE)
    return Family("spire", (str(server),), (str(agent),))


async def run(*command: str, stdin: str = "", **variables: str) -> Outcome:
    """Run a command to its end, in English and in UTC, with no socket named by the environment."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPI")}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env | {"LC_ALL": "C.UTF-8", "TZ": "UTC"} | variables,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Outcome(process.returncode, out.decode(), err.decode())
