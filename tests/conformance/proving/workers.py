"""Sharing out runs among warm processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Self

from tests.conformance.proving.trial import ROOT, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.removal import Removal


@dataclass(frozen=True)
class Run:
    """The tests of a row against the source without its rule, and what they showed."""

    finding: Finding
    seconds: float


class Workers:
    """Warm processes, each of which takes one run after the other."""

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count)
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        self._processes = [_start() for _ in range(count)]
        for process in self._processes:
            self._idle.put(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            _stream(process.stdin).close()
            process.wait()
            _stream(process.stdout).close()

    def submit(self, removal: Removal, tests: Sequence[str]) -> Future[Run]:
        """Run tests without a rule, as soon as a process is free.

        The future raises RemovalError for a removal that does not fit the source.
        """
        return self._threads.submit(self._run, removal, list(tests))

    def _run(self, removal: Removal, tests: list[str]) -> Run:
        job = {"files": removal.edited(ROOT), "tests": tests}
        process = self._idle.get()
        try:
            _stream(process.stdin).write(json.dumps(job) + "\n")
            _stream(process.stdin).flush()
            answer = json.loads(_stream(process.stdout).readline())
        finally:
            self._idle.put(process)
        return Run(Finding(answer["verdict"], answer["text"]), answer["seconds"])


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.proving.warm"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
