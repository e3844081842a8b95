import asyncio
import signal
import subprocess
import sys
import textwrap
from typing import NoReturn

import pytest

from finial.runtime.tasks import TaskGroup, run, run_tasks
from tests.fakes.clock import FakeClock


class BrokenError(Exception):
    """What a failing task raises here."""


async def forever(ended: list[str], name: str) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        ended.append(name)


async def broken() -> NoReturn:
    await asyncio.sleep(0)
    raise BrokenError("no more disk")


async def test_a_failure_names_its_task_and_takes_the_others_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[str] = []
    with pytest.raises(BrokenError) as caught:
        await run_tasks(api=forever(ended, "api"), rotation=broken(), feed=forever(ended, "feed"))
    assert caught.value.__notes__ == ["in task 'rotation'"]
    assert sorted(ended) == ["api", "feed"]
    [record] = caplog.records
    assert record.__dict__["data"] == {"task": "rotation", "error": "BrokenError: no more disk"}


async def test_only_the_first_of_several_failures_is_raised_and_all_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails_on_the_way_out() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError

    with pytest.raises(BrokenError):
        await run_tasks(late=fails_on_the_way_out(), early=broken())
    assert [record.__dict__["data"]["task"] for record in caplog.records] == ["early", "late"]


async def test_tasks_that_end_let_the_others_run_on() -> None:
    clock = FakeClock()
    running = asyncio.create_task(run_tasks(short=clock.sleep(1), long=clock.sleep(2)))
    await clock.advance(1)
    assert not running.done()
    await clock.advance(1)
    assert running.done()


async def test_cancelling_the_group_waits_for_every_clean_up() -> None:
    ended: list[str] = []
    running = asyncio.create_task(run_tasks(a=forever(ended, "a"), b=forever(ended, "b")))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(ended) == ["a", "b"]


async def test_tasks_carry_their_names_and_results() -> None:
    async def seven() -> int:
        return 7

    async with TaskGroup() as group:
        task = group.start("sync", seven())
    assert task.get_name() == "sync"
    assert task.result() == 7


async def test_a_group_that_has_ended_takes_no_task() -> None:
    async with TaskGroup() as group:
        pass
    with pytest.raises(RuntimeError):
        group.start("late", asyncio.sleep(0))


@pytest.mark.parametrize("loop", ["auto", "asyncio", "uvloop"])
def test_run_returns_what_main_returns_and_raises_what_it_raises(loop: str) -> None:
    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__

    module = run(main, loop=loop)  # type: ignore[arg-type]
    assert module is not None
    if loop != "auto":
        assert module.startswith(loop)
    with pytest.raises(BrokenError):
        run(broken, loop=loop)  # type: ignore[arg-type]


def test_a_cancellation_that_no_signal_asked_for_is_not_swallowed() -> None:
    async def main() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(main, loop="asyncio")


PROGRAM = """
    import asyncio, sys
    from finial.runtime.tasks import run, run_tasks

    async def part(name, stuck=False):
        try:
            print(name, "up", flush=True)
            await asyncio.Event().wait()
        finally:
            print(name, "cleaning", flush=True)
            if stuck:
                await asyncio.Event().wait()
            await asyncio.sleep(0.05)
            print(name, "down", flush=True)

    stuck = len(sys.argv) > 2
    result = run(lambda: run_tasks(a=part("a"), b=part("b", stuck)), loop=sys.argv[1])
    print("result", result)
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert [program.stdout.readline() for _ in range(2)] == ["a up\n", "b up\n"]
    return program


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_in_good_order(loop: str, number: signal.Signals) -> None:
    with start(loop) as program:
        program.send_signal(number)
        output, _ = program.communicate(timeout=20)
    assert program.returncode == 0
    lines = output.splitlines()
    assert sorted(lines[:4]) == ["a cleaning", "a down", "b cleaning", "b down"]
    assert lines[4:] == ["result None"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_second_signal_ends_a_clean_up_that_hangs(loop: str) -> None:
    with start(loop, "stuck") as program:
        assert program.stdout is not None
        program.send_signal(signal.SIGTERM)
        while program.stdout.readline() != "b cleaning\n":
            pass
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=20) == -signal.SIGTERM
