"""Forked processes, a few at a time, each with an end to its time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess
    from pathlib import Path

_FORK = multiprocessing.get_context("fork")
_J = TypeVar("_J")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class _Child(Generic[_J]):
    job: _J
    process: ForkProcess
    answers: Connection
    ends: float
    log: Path


class LateError(Exception):
    """A job had to be stopped."""


def fork_each(
    jobs: Iterable[_J], work: Callable[[_J], _R], *, workers: int, seconds: float, logs: Path
) -> Iterator[tuple[_J, _R | LateError]]:
    """Do each job in a process of its own, `workers` at once, and give the answers as they come.

    Args:
        jobs: what to do; taken one by one.
        work: called in the forked process; its answer is pickled.
        workers: processes at once.
        seconds: on the clock, after which a job is stopped; a job may also end itself by a limit
            on its processor time.
        logs: folder for what the jobs print; a job's log goes with the job.

    Raises:
        RuntimeError: a process ended without an answer, and not for the time it took.
    """
    running: list[_Child[_J]] = []
    for number, job in enumerate(jobs):
        while len(running) >= workers:
            yield from _settle(running)
        running.append(_start(job, work, time.monotonic() + seconds, logs / f"{number}.txt"))
    while running:
        yield from _settle(running)


def _start(job: _J, work: Callable[[_J], _R], ends: float, log: Path) -> _Child[_J]:
    answers, theirs = _FORK.Pipe(duplex=False)

    def run() -> None:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        answer = work(job)
        theirs.send(answer)

    sys.stdout.flush()
    process = _FORK.Process(target=run)
    process.start()
    theirs.close()
    return _Child(job, process, answers, ends, log)


def _settle(running: list[_Child[_J]]) -> Iterator[tuple[_J, Any]]:
    """Wait until at least one job has ended or is late, and take out those that have."""
    patience = min(child.ends for child in running) - time.monotonic()
    wait([child.answers for child in running], max(0.0, patience))
    for child in list(running):
        if child.answers.poll() or time.monotonic() >= child.ends:
            running.remove(child)
            yield child.job, _answer(child)


def _answer(child: _Child[_J]) -> Any:
    try:
        if child.answers.poll():
            return child.answers.recv()
        child.process.kill()
        return LateError()
    except EOFError:
        child.process.join()
        if child.process.exitcode in {-signal.SIGXCPU, -signal.SIGKILL}:
            return LateError()
        log = child.log.read_text(errors="replace")
        ended = f"ended with {child.process.exitcode} and no answer"
        raise RuntimeError(f"{child.job}: the process {ended}:\n{log}") from None
    finally:
        child.process.join()
        child.process.close()
        child.answers.close()
        child.log.unlink(missing_ok=True)
