"""The admin socket of a whole agent: where it is, and what an operator sees through it."""

from __future__ import annotations

import asyncio
import logging
import stat
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from finial.api.grpc import health_pb2, health_pb2_grpc
from finial.api.spire import types_pb2 as types
from finial.api.spire.agent import debug_pb2, debug_pb2_grpc, logger_pb2, logger_pb2_grpc
from finial.runtime import logging as finial_logging
from finial.runtime.clock import SystemClock
from tests.fakes.ca import FakeCa
from tests.fakes.delegate import DELEGATE, delegate, refused
from tests.fakes.server import FakeServer
from tests.fakes.waiting import eventually
from tests.fakes.workload import MY_UID, RunningAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

AGENT = "/spire/agent/join_token/token-1"


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer(SystemClock())
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def level() -> Iterator[None]:
    """Leaves the process's log level as it was."""
    before = finial_logging.OURS.level
    yield
    finial_logging.OURS.setLevel(before)


def running(folder: Path, server: FakeServer, **settings: str) -> RunningAgent:
    settings.setdefault("admin_socket_path", f'"{admin_socket(folder)}"')
    settings.setdefault("experimental", '{ sync_interval = "30ms" }')
    token = server.add_token()
    return RunningAgent(folder, server, clock=server.clock, token=token, **settings)


def sockets_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_socket()]


def admin_socket(folder: Path) -> Path:
    return folder / "admin" / "admin.sock"


async def test_there_is_no_admin_socket_unless_it_is_named(
    tmp_path: Path, server: FakeServer
) -> None:
    async with running(tmp_path, server, admin_socket_path='""') as agent:
        await agent.stub()
        await eventually(lambda: server.calls["GetBundle"] > 2)
        assert sockets_in(tmp_path) == [agent.socket]


async def test_the_admin_socket_is_for_the_agents_own_user_and_group(
    tmp_path: Path, server: FakeServer
) -> None:
    async with running(tmp_path, server):
        socket = admin_socket(tmp_path)
        await eventually(socket.exists)
        assert stat.S_IMODE(socket.stat().st_mode) == 0o770
        assert not stat.S_IMODE(socket.parent.stat().st_mode) & 0o027
    assert not socket.exists()


async def test_the_agent_shows_its_chain_and_its_counts(tmp_path: Path, server: FakeServer) -> None:
    server.add_entry("proxy", "/proxy", MY_UID)
    async with running(tmp_path, server, authorized_delegates=f'["{DELEGATE}"]') as agent:
        await agent.fetch()
        async with delegate(admin_socket(tmp_path)) as client:
            await client.tokens(("unix", MY_UID.removeprefix("unix:")))
            stub: Any = debug_pb2_grpc.DebugStub(client.channel)
            info = await stub.GetInfo(debug_pb2.GetInfoRequest())
            again = await stub.GetInfo(debug_pb2.GetInfoRequest())
    assert [each.id.path for each in info.svid_chain] == [AGENT, ""]  # and the root
    assert info.svid_chain[0].expires_at > server.clock.time()
    assert (info.svids_count, info.cached_x509_svids_count, info.cached_jwt_svids_count) == (
        1,
        1,
        1,
    )
    assert abs(info.last_sync_success - server.clock.time()) < 60
    assert again == info  # kept for some seconds


async def test_a_chain_that_does_not_verify_is_an_internal_error(
    tmp_path: Path, server: FakeServer
) -> None:
    async with running(tmp_path, server) as agent:
        await agent.stub()
        await eventually(lambda: server.calls["GetBundle"] > 1)
        server.lies.delays["RenewAgent"] = asyncio.Event()  # else it would get a better one
        server.roots[:] = [types.X509Certificate(asn1=FakeCa(now=server.clock.time()).der)]
        calls = server.calls["RenewAgent"]
        await eventually(lambda: server.calls["RenewAgent"] > calls)
        async with delegate(admin_socket(tmp_path)) as client:
            stub: Any = debug_pb2_grpc.DebugStub(client.channel)
            code, text = await refused(stub.GetInfo(debug_pb2.GetInfoRequest()))
    assert code is grpc.StatusCode.INTERNAL
    assert text.startswith("failed to verify agent SVID: ")


@pytest.mark.usefixtures("level")
async def test_the_log_level_can_be_changed_and_put_back(
    tmp_path: Path, server: FakeServer
) -> None:
    async with running(tmp_path, server):
        socket = admin_socket(tmp_path)
        await eventually(socket.exists)
        async with delegate(socket) as client:
            stub: Any = logger_pb2_grpc.LoggerStub(client.channel)
            launched = await stub.GetLogger(logger_pb2.GetLoggerRequest())
            request = logger_pb2.SetLogLevelRequest(new_level=types.ERROR)
            assert (await stub.SetLogLevel(request)).current_level == types.ERROR
            assert finial_logging.OURS.level == logging.ERROR
            reset = await stub.ResetLogLevel(logger_pb2.ResetLogLevelRequest())
            assert reset.current_level == launched.launch_level
            unknown: Any = logger_pb2.SetLogLevelRequest(new_level=99)  # type: ignore[arg-type]
            for bad, text in (
                (logger_pb2.SetLogLevelRequest(), "newLevel value cannot be LogLevel_UNSPECIFIED"),
                (unknown, "unsupported log level"),
            ):
                invalid = grpc.StatusCode.INVALID_ARGUMENT
                assert await refused(stub.SetLogLevel(bad)) == (invalid, text)


async def test_health_on_the_public_socket_is_a_check_and_nothing_more(
    tmp_path: Path, server: FakeServer
) -> None:
    async with running(tmp_path, server) as agent:
        await agent.stub()
        await eventually(lambda: server.calls["PostStatus"])  # after its first sync
        async with delegate(agent.socket) as client:
            stub: Any = health_pb2_grpc.HealthStub(client.channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            named = stub.Check(health_pb2.HealthCheckRequest(service="x"))
            invalid = (grpc.StatusCode.INVALID_ARGUMENT, "per-service health is not supported")
            assert await refused(named) == invalid
            unimplemented = grpc.StatusCode.UNIMPLEMENTED
            call = stub.Watch(health_pb2.HealthCheckRequest())
            assert await refused(call) == (unimplemented, "method Watch not implemented")
            call = stub.List(health_pb2.HealthListRequest())
            assert await refused(call) == (unimplemented, "method List not implemented")
