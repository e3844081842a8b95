"""Processes on the node: who may touch which socket, and who they are at each call."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from finial.api.workload import workload_pb2 as pb
from finial.runtime.clock import SystemClock
from finial.runtime.rpc import RpcError
from tests.fakes.daemon import ENV
from tests.fakes.server import FakeServer
from tests.fakes.server_process import config_in, running
from tests.fakes.waiting import eventually
from tests.fakes.workload import MY_UID, RunningAgent
from tests.threats import caller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

UNAVAILABLE = str(grpc.StatusCode.UNAVAILABLE.value[0])
MINE, NOBODYS = "spiffe://example.org/mine", "spiffe://example.org/nobodys"
NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="finial-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
async def agent(open_folder: Path) -> AsyncIterator[RunningAgent]:
    server = FakeServer(SystemClock())
    await server.start()
    server.add_entry("mine", "/mine", MY_UID)
    server.add_entry("nobodys", "/nobodys", f"unix:uid:{NOBODY}")
    running_agent = RunningAgent(open_folder, server, clock=server.clock, token=server.add_token())
    async with running_agent:
        await running_agent.fetch()
        yield running_agent
    await server.stop()


async def outcomes(socket: Path, *steps: str) -> list[str]:
    """What a workload process got at each of its calls."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, caller.__file__, str(socket), *steps),
        stdout=asyncio.subprocess.PIPE,
        env=ENV,
    )
    output, _ = await process.communicate()
    return [json.loads(line) for line in output.splitlines()]


# -- one connection, several people ----------------------------------------------------------


async def test_a_process_that_stays_who_it_is_gets_its_own_identity_each_time(
    agent: RunningAgent,
) -> None:
    assert await outcomes(agent.socket, "call", "call") == [MINE, MINE]
    assert await outcomes(agent.socket, "exec", "call") == [MINE]


@as_root
async def test_a_process_that_becomes_another_user_is_nobody_on_its_old_connection(
    agent: RunningAgent, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither its old user's identity nor its new one's: it has to connect again."""
    changed = await outcomes(agent.socket, "call", f"user:{NOBODY}", "call")
    assert changed == [MINE, UNAVAILABLE]
    (line,) = [each for each in caplog.records if each.message == "workload attestor failed"]
    assert "changed since it connected" in line.__dict__["data"]["error"]


@as_root
async def test_a_program_that_runs_as_another_user_after_exec_is_nobody_either(
    agent: RunningAgent,
) -> None:
    changed = await outcomes(agent.socket, "exec", f"user:{NOBODY}", "call")
    assert changed == [UNAVAILABLE]


async def test_a_connection_left_to_a_child_dies_with_the_process_that_made_it(
    agent: RunningAgent, caplog: pytest.LogCaptureFixture
) -> None:
    """By then the PID may be anybody's."""
    assert await outcomes(agent.socket, "call", "child", "call") == [MINE, UNAVAILABLE]
    said = [each.message for each in caplog.records]
    assert "caller ended during attestation" in said or "workload attestor failed" in said


async def test_who_does_not_say_that_it_means_the_workload_api_is_not_served(
    agent: RunningAgent,
) -> None:
    """As a browser that is led to the socket could not (Workload Endpoint, section 4)."""
    stub = await agent.stub()
    with pytest.raises(RpcError) as refused:
        await stub.FetchX509SVID(pb.X509SVIDRequest()).read()
    assert refused.value.details() == "security header missing from request"


def descriptors() -> int:
    """How many this process, and so the agent, has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_callers_that_die_in_the_middle_of_a_stream_leave_nothing_behind(
    agent: RunningAgent,
) -> None:
    await agent.fetch()
    before = descriptors()
    deaths = await asyncio.gather(*(outcomes(agent.socket, "stream", "die") for _ in range(8)))
    assert deaths == [[MINE]] * 8
    await eventually(lambda: descriptors() <= before)
    assert len((await agent.fetch()).svids) == 1


# -- the admin socket ------------------------------------------------------------------------

KNOCK = """
import os, socket, sys
os.setgroups([])
os.setresgid({user}, {user}, {user})
os.setresuid({user}, {user}, {user})
with socket.socket(socket.AF_UNIX) as knocking:
    try:
        knocking.connect(sys.argv[1])
    except OSError as error:
        print(type(error).__name__)
    else:
        print("connected")
"""


async def knock(path: Path, user: int) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KNOCK.format(user=user), str(path)), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode().strip()


@as_root
async def test_no_other_user_gets_to_the_admin_socket(open_folder: Path) -> None:
    """By its own mode, and not only because a folder above it is closed."""
    async with running(config_in(open_folder)) as server:
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) & 0o007 == 0
        assert await knock(server.socket, NOBODY) == "PermissionError"
        for folder in (server.socket.parent, server.socket.parent.parent):
            folder.chmod(0o755)
        assert await knock(server.socket, NOBODY) == "PermissionError"
        server.socket.chmod(0o666)
        assert await knock(server.socket, NOBODY) == "connected"
