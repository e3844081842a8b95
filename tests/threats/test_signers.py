"""Signers that are tampered with: stopped, looked into, told to sign what they must not."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from finial.api.finial import signer_pb2
from finial.server.signer.errors import SignerStartError
from finial.server.signer.link import SignerLink
from finial.server.signer.model import AuthorityKind, KeyType
from finial.server.signer.pool import LOOK_EVERY, MOST_LOOKS, MOST_WORK, SignerPool
from tests.fakes.clock import FakeClock
from tests.fakes.daemon import ENV
from tests.fakes.signers import settings
from tests.fakes.waiting import eventually
from tests.server.signer.conftest import alive
from tests.server.signer.test_signing_policy import NOW, order

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.threats.conftest import Told


@asynccontextmanager
async def pool_on(clock: FakeClock, **changes: object) -> AsyncIterator[SignerPool]:
    pool = SignerPool(settings(**changes), clock=clock)
    await pool.start()
    watch = asyncio.create_task(pool.run())
    try:
        yield pool
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        await pool.close()


async def looks(clock: FakeClock, count: int) -> None:
    """Let the pool look at its signers that often, with time for answers in between."""
    for _ in range(count):
        await clock.advance(LOOK_EVERY)
        await asyncio.sleep(0.05)


async def stop(pid: int) -> None:
    """Stop a process, and return once it stands still."""
    os.kill(pid, signal.SIGSTOP)
    status = Path(f"/proc/{pid}/stat")
    await eventually(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")


@pytest.mark.parametrize("stopped", [1, 2])
async def test_signers_that_are_stopped_are_replaced_and_callers_served(
    tmp_path: Path, told: Told, stopped: int
) -> None:
    clock = FakeClock()
    async with pool_on(clock, keys_path=tmp_path / "keys.json") as pool:
        ca = await pool.generate(
            AuthorityKind.X509, "x509-CA-A", KeyType.EC_P256, NOW - 10, NOW + 86_400
        )
        await eventually(lambda: pool.size == 2)
        victims = pool.pids[:stopped]
        for pid in victims:
            os.kill(pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(pool.sign_x509(ca.id, [order()])) for _ in range(8)]
        await looks(clock, MOST_LOOKS + 1)
        await eventually(lambda: not {*victims} & {*pool.pids})
        results = await asyncio.gather(*waiting)
        assert all(result[0].certificate for result in results)
        await eventually(lambda: not any(alive(pid) for pid in victims))
        await eventually(lambda: pool.size == 2)
    assert {line["pid"] for line in told("a signer does not answer")} == {*victims}


async def test_a_stopped_signer_is_found_out_before_any_caller_needs_it(told: Told) -> None:
    clock = FakeClock()
    async with pool_on(clock) as pool:
        await eventually(lambda: pool.size == 2)
        (_, sibling) = pool.pids
        os.kill(sibling, signal.SIGSTOP)
        await looks(clock, MOST_LOOKS + 1)
        await eventually(lambda: told("a signer does not answer"))
        await eventually(lambda: pool.size == 2 and sibling not in pool.pids)


async def test_a_first_signer_that_never_gets_ready_does_not_hold_up_the_start(
    told: Told,
) -> None:
    clock = FakeClock()
    pool = SignerPool(settings(), clock=clock)
    starting = asyncio.create_task(pool.start())
    await eventually(lambda: pool._nursery.starting)
    (first,) = pool._nursery.starting
    await stop(first.pid)
    await looks(clock, MOST_LOOKS - 1)
    assert not starting.done()
    await looks(clock, 1)
    with pytest.raises(SignerStartError, match="ended before it was ready"):
        await starting
    await pool.close()
    assert not alive(first.pid)
    assert clock.sleepers == 0
    assert [line["pid"] for line in told("a signer does not answer")] == [first.pid]


async def test_a_sibling_that_never_gets_ready_is_killed_and_another_started(
    tmp_path: Path, told: Told
) -> None:
    clock = FakeClock()
    async with pool_on(clock, keys_path=tmp_path / "keys.json") as pool:
        (_, sibling) = pool.pids
        os.kill(sibling, signal.SIGKILL)
        await eventually(lambda: pool._nursery.starting)
        (link,) = pool._nursery.starting
        await stop(link.pid)
        await looks(clock, MOST_LOOKS)
        await eventually(lambda: not alive(link.pid))
        await eventually(lambda: pool.size == 2)
        assert not pool._nursery.starting
        assert await pool.authorities() == []
    assert [line["pid"] for line in told("a signer does not answer")] == [link.pid]


async def test_a_process_that_has_the_number_of_a_signer_that_ended_is_not_killed() -> None:
    """The signer's end is closed, and its last words have not been read yet."""
    ours, theirs = socket.socketpair()
    link = SignerLink(ours, lambda _: None)
    bystander = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE
    )
    link.pid = bystander.pid
    theirs.send(b"last words")
    theirs.close()
    link.kill()
    assert link.closed
    await bystander.communicate(b"\n")
    assert bystander.returncode == 0


async def test_signers_that_answer_are_left_alone(told: Told) -> None:
    clock = FakeClock()
    async with pool_on(clock) as pool:
        await eventually(lambda: pool.size == 2)
        pids = pool.pids
        await looks(clock, 3 * MOST_LOOKS)
        assert pool.pids == pids
    assert not told("a signer does not answer")


async def test_a_signer_that_works_is_left_alone_until_it_has_worked_too_long() -> None:
    """On a machine that is busy enough, making one large key can outlast any number of looks."""
    ours, theirs = socket.socketpair()
    link = SignerLink(ours, lambda _: None)
    working = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
    link.pid = working.pid
    spent = partial(time.clock_gettime, ~working.pid << 3 | 2)

    async def some_work() -> None:
        before = spent()
        await eventually(lambda: spent() > before)

    try:
        link.request(signer_pb2.Request(), lambda _: None)
        for _ in range(3 * MOST_LOOKS):
            await some_work()
            assert not link.hangs(MOST_LOOKS, MOST_WORK)
        assert link.hangs(MOST_LOOKS, 0.0)
        os.kill(working.pid, signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, working.pid, os.WSTOPPED)
        assert [link.hangs(3, MOST_WORK) for _ in range(4)][2:] == [True, True]
    finally:
        working.kill()
        await working.wait()
        link.close()
        theirs.close()


# -- other processes of the same user ----------------------------------------------------------

ATTACK = """
import ctypes, os, signal, sys
from finial.server.signer import hardening

libc = ctypes.CDLL(None, use_errno=True)
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
libc.prctl(4, ctypes.c_ulong(1), 0, 0, 0)  # changing users has taken it away
ready, say_ready = os.pipe()
target = os.fork()
if target == 0:
    {act}
    os.write(say_ready, b"x")
    signal.pause()
os.read(ready, 1)
for name in ("mem", "environ", "maps", "cmdline"):
    try:
        with open(f"/proc/{{target}}/{{name}}", "rb") as file:
            pass
        print(name, "open")
    except PermissionError:
        print(name, "closed")
try:
    os.listdir(f"/proc/{{target}}/fd")
    print("fd open")
except PermissionError:
    print("fd closed")
attached = libc.ptrace(16, target, None, None) == 0
print("ptrace", "open" if attached else "closed")
os.kill(target, signal.SIGKILL)
"""


def attack(act: str) -> list[str]:
    """What the parent of a process, by the same user, can get at in it."""
    done = subprocess.run(
        [sys.executable, "-c", ATTACK.format(act=act)],
        env=ENV,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_another_process_of_the_same_user_cannot_look_into_a_hardened_one() -> None:
    """Not even its parent, which is what the API process is to a signer."""
    secrets = ["mem", "environ", "maps"]
    hardened = [*(f"{name} closed" for name in secrets), "cmdline open", "fd closed"]
    assert attack("hardening.harden()") == [*hardened, "ptrace closed"]
    plain = [*(f"{name} open" for name in secrets), "cmdline open", "fd open", "ptrace open"]
    assert attack("pass") == plain
