"""Waiting in tests for what other tasks will do, without guessing how long they take."""

from __future__ import annotations

import asyncio
import fcntl
import selectors
import sys
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.clock import FakeClock

PATIENCE = 10.0
FLOODED = 1.0


async def eventually(holds: Callable[[], object], patience: float = PATIENCE) -> None:
    """Give way until the condition holds. Raises AssertionError after `patience` real seconds."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("the condition never came to hold")
        await asyncio.sleep(0.002)


async def pass_time(clock: FakeClock, seconds: float, step: float = 2.0) -> None:
    """Let fake time pass in steps, with real sockets and threads answering in between."""
    while seconds > 0:
        await clock.advance(min(step, seconds))
        seconds -= step
        await _rest()


async def _rest() -> None:
    """Return when nothing has happened for a while: fake time must not outrun sockets and disks.

    What never rests (a stream that floods) is let be after a while.
    """
    began, quiet = time.monotonic(), 0
    while quiet < 3:
        waited = time.monotonic() - began
        if waited > PATIENCE:
            raise TimeoutError("a thread of the pool never came to its end")
        await asyncio.sleep(0.0005)
        busy = _threads_work() or (waited < FLOODED and _sockets_wait())
        quiet = 0 if busy else quiet + 1


def _threads_work() -> bool:
    """Whether a call of `asyncio.to_thread` is under way."""
    pool = getattr(asyncio.get_running_loop(), "_default_executor", None)
    return pool is not None and pool._idle_semaphore._value < len(pool._threads)


def _sockets_wait() -> bool:
    """Whether something has come that nobody has taken up, or is on its way.

    A busy machine delivers late, even to itself: what was sent and not received shows as output
    that is queued still, and a connection that is being made waits to be written to.
    """
    loop = asyncio.get_running_loop()
    selector = getattr(loop, "_selector", None)
    if selector is None:
        return False
    connecting = any(key.events & selectors.EVENT_WRITE for key in selector.get_map().values())
    return connecting or bool(selector.select(0)) or any(map(_queued, _sockets(loop)))


def _sockets(loop: asyncio.AbstractEventLoop) -> list[int]:
    transports = getattr(loop, "_transports", {})
    return [fd for fd, each in list(transports.items()) if not each.is_closing()]


def _queued(fd: int) -> bool:
    try:
        answer = fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4))
    except OSError:  # closed, or no socket
        return False
    return int.from_bytes(answer, sys.byteorder) > 0
