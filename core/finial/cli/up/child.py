"""The two programs as processes that cannot outlive this one."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from finial.runtime.cli.failure import FailureError

PR_SET_PDEATHSIG = 1
GRACE = 10.0
"""Seconds between being asked to end and being killed."""
TAIL = 15
"""Lines of a log that a failure shows."""

_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """A running program whose output goes to a log."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, name: str, module: str, arguments: Sequence[str], log: Path) -> Self:
        """Run `python -m module arguments`; raises FailureError."""
        parent = os.getpid()
        try:
            with log.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # a folder named finial where the user stands is none of ours
                    "-m",
                    module,
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for us; we stop them in order
                    preexec_fn=lambda: _die_with(parent),
                )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise FailureError(f"cannot start the {name}: {reason}") from None
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    async def wait(self) -> int:
        """The exit code, once it has ended."""
        return await self._process.wait()

    def failure(self) -> FailureError:
        """What to say when it has ended by itself."""
        code = self._process.returncode
        return FailureError(
            f"the {self.name} has ended with exit code {code}; the end of {self._log}:\n"
            f"{tail(self._log)}"
        )

    async def stop(self) -> None:
        """Ask it to end, and make it after a while."""
        if self.ended:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(GRACE):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def tail(log: Path) -> str:
    """The last lines of a log, indented."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-TAIL:]
    except OSError as error:
        lines = [f"({error})"]
    return "\n".join(f"  {line}" for line in lines) or "  (it is empty)"


def _die_with(parent: int) -> None:
    """Between fork and exec: be terminated when the parent goes, or has gone already."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
