"""One task group a process, and the way into it.

Every long-lived part is a coroutine that runs until it is cancelled; nothing is started and
forgotten. The first to fail takes the others down, in order, and its name is in the log and on
the exception.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from finial.runtime.logging import log

T = TypeVar("T")
Loop = Literal["auto", "asyncio", "uvloop"]
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger(__name__)


class TaskGroup:
    """Named tasks that live and fall together.

    Left normally it waits for all tasks; left by an error or a cancellation it cancels them and
    waits for their clean-up. The first failure is raised as it is, with a note naming its task.
    """

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()

    def start(self, name: str, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `coro` as a task of this group; `name` is what a failure will be reported under."""
        reporting = _reporting(name, coro)
        try:
            return self._group.create_task(reporting, name=name)
        except RuntimeError:
            reporting.close()
            coro.close()
            raise

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._group.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as failures:
            # The rest are casualties of the first; each is in the log under its task's name.
            raise failures.exceptions[0] from None


async def run_tasks(**tasks: Coroutine[Any, Any, object]) -> None:
    """Run all of them, each under its keyword's name, until all have ended or one has failed."""
    async with TaskGroup() as group:
        for name, coro in tasks.items():
            group.start(name, coro)


async def _reporting(name: str, coro: Coroutine[Any, Any, T]) -> T:
    try:
        return await coro
    except Exception as error:
        error.add_note(f"in task {name!r}")
        log(logger, logging.ERROR, "task failed", task=name, error=_describe(error))
        raise


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def run(main: Callable[[], Coroutine[Any, Any, T]], *, loop: Loop = "auto") -> T | None:
    """Run a process's main coroutine; SIGTERM or SIGINT cancels it, and then returns None.

    A second signal kills at once, for an operator whose patience the clean-up exceeds. With
    `auto` the loop is uvloop where it is installed. Raises what `main` raises.
    """
    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        return runner.run(until_signalled(main()))


async def until_signalled(main: Awaitable[T]) -> T | None:
    """Await `main`; a stop signal cancels it, waits for its clean-up and makes the result None."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(main)
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        log(logger, logging.INFO, "stopping", signal=number.name)
        received.append(number)
        for each in STOP_SIGNALS:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        task.cancel()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if received:
            return None
        raise
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _loop_factory(loop: Loop) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if loop == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415 - a process that names asyncio does not load it
    except ImportError:
        if loop == "uvloop":
            raise
        return None
    return uvloop.new_event_loop
