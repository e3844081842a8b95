"""The two programs as processes, and waiting for what they do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds until a program that does not do its part fails the test."""

MODULES = {"server": "finial.server.cli.main", "agent": "finial.agent.cli.main"}
ENV = os.environ | {
    "PYTHONPATH": os.pathsep.join(os.path.abspath(each) for each in sys.path if each)  # noqa: PTH100
}


async def comes_true(
    ask: Callable[[], Awaitable[T]],
    holds: Callable[[T], object] = bool,
    *,
    patience: float = PATIENCE,
    told: Callable[[], str] = str,
) -> T:
    """Ask again and again until the answer will do, and return it.

    Raises AssertionError with the last answer, and what `told` has to say, after `patience`.
    """
    deadline = time.monotonic() + patience
    while not holds(answer := await ask()):
        assert time.monotonic() < deadline, f"after {patience} s still {answer!r}; {told()}"
        await asyncio.sleep(0.01)
    return answer


async def value_of(value: T) -> T:
    """Make a plain value something that `comes_true` can ask for."""
    return value


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def run_program(side: str, *words: str) -> Outcome:
    """Run `finial-server` or `finial-agent` to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", MODULES[side], *words),
        env=ENV,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    finally:
        await _end(process, signal.SIGKILL)
    return Outcome(process.returncode or 0, out.decode(), err.decode())


async def _end(process: asyncio.subprocess.Process, number: signal.Signals) -> int:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
    async with asyncio.timeout(PATIENCE):
        return await process.wait()


class Daemon:
    """One of the two programs, started and ended as often as a test wishes."""

    def __init__(self, side: str, config: Path, socket_path: Path) -> None:
        self.side = side
        self.config = config
        self.socket = socket_path
        self.log_path = config.with_suffix(".log")
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def launch(self, *flags: str) -> None:
        """Start it, and do not wait for anything."""
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", MODULES[self.side], "run"),
                *("-config", str(self.config), *flags),
                env=ENV,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
            )

    async def start(self, *flags: str) -> None:
        """Start it and wait until its socket accepts."""
        await self.launch(*flags)

        async def settled() -> bool:
            return not self.running or accepts(self.socket)

        await comes_true(settled, told=self.log)
        assert self.running, f"{self.side} has ended: {self.log()}"

    async def refused(self, *flags: str) -> str:
        """Start one that must end by itself with exit status 1; return what it says of it."""
        outcome = await run_program(self.side, "run", "-config", str(self.config), *flags)
        assert outcome.code == 1, outcome
        return outcome.err

    async def stop(self) -> int:
        """End it as an init system does; return its exit status."""
        return await self._signal(signal.SIGTERM)

    async def kill(self) -> None:
        """End it without a chance to do anything."""
        assert await self._signal(signal.SIGKILL) == -signal.SIGKILL

    async def wait(self) -> int:
        """Wait for it to end by itself; return its exit status."""
        assert self._process is not None
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    async def clean_up(self) -> None:
        if self._process is not None:
            await _end(self._process, signal.SIGKILL)

    async def _signal(self, number: signal.Signals) -> int:
        assert self._process is not None
        return await _end(self._process, number)

    def descriptors(self) -> int:
        """How many file descriptors it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""


def accepts(path: Path) -> bool:
    """Whether somebody listens on a Unix socket."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
