"""Hours pass on a fake clock: what a workload holds is valid at every moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509

from finial.agent.errors import AgentRejected
from finial.api.workload import workload_pb2 as pb
from finial.runtime.rpc import RpcError, StatusError
from tests.fakes.clock import FakeClock
from tests.fakes.server import FakeServer
from tests.fakes.waiting import eventually, pass_time
from tests.fakes.workload import HEADER, MY_UID, RunningAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Holder:
    """A workload that keeps what its stream gave it last."""

    def __init__(self, running: RunningAgent) -> None:
        self._running = running
        self.held: pb.X509SVIDResponse | None = None
        self.messages = 0
        self.error: RpcError | None = None
        self.task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        stub = await self._running.stub()
        call: Any = stub.FetchX509SVID(pb.X509SVIDRequest(), metadata=HEADER)
        try:
            async for message in call:
                self.held = message
                self.messages += 1
        except RpcError as error:
            self.held, self.error = None, error

    def expires(self) -> float:
        assert self.held is not None
        return min(
            x509.load_der_x509_certificate(svid.x509_svid).not_valid_after_utc.timestamp()
            for svid in self.held.svids
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[FakeServer]:
    fake = FakeServer(clock)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.mark.timeout(240)
async def test_over_two_hours_a_stream_never_holds_an_expired_svid(
    tmp_path: Path, clock: FakeClock, server: FakeServer
) -> None:
    server.svid_ttl = 60
    server.agent_ttl = 300
    server.add_entry("a", "/a", MY_UID)
    server.add_entry("b", "/b", MY_UID, x509_svid_ttl=90)
    token = server.add_token()
    settings = {"experimental": '{ sync_interval = "30s" }'}
    async with RunningAgent(tmp_path, server, clock=clock, token=token, **settings) as running:
        holder = Holder(running)
        await eventually(lambda: holder.held)
        closest = 60.0
        end = clock.time() + 7200
        while clock.time() < end:
            await pass_time(clock, 5, step=5)
            assert holder.error is None
            left = holder.expires() - clock.time()
            closest = min(closest, left)
            assert left > 0
        assert closest > 15
        # Once per half life, give or take the jitter, and no more often than that.
        assert 7200 / 35 < server.issued["a"] < 7200 / 25
        assert 7200 / 52 < server.issued["b"] < 7200 / 38
        assert server.calls["RenewAgent"] >= 7200 / 170
        assert server.calls["AttestAgent"] == 1
        holder.task.cancel()


async def test_beyond_its_life_an_svid_is_withdrawn_and_comes_back_with_the_server(
    tmp_path: Path, clock: FakeClock, server: FakeServer
) -> None:
    server.svid_ttl = 60
    server.add_entry("a", "/a", MY_UID)
    server.add_entry("b", "/b", MY_UID, x509_svid_ttl=600)
    token = server.add_token()
    async with RunningAgent(tmp_path, server, clock=clock, token=token) as running:
        holder = Holder(running)
        await eventually(lambda: holder.held and len(holder.held.svids) == 2)
        await server.stop()
        await pass_time(clock, 59)
        assert holder.held is not None
        assert len(holder.held.svids) == 2
        await pass_time(clock, 1)
        await eventually(lambda: holder.held and len(holder.held.svids) == 1)
        await pass_time(clock, 540, step=10)
        await eventually(lambda: holder.error)
        assert holder.error is not None
        assert holder.error.code() is grpc.StatusCode.UNAVAILABLE
        await server.start()
        await pass_time(clock, 5, step=1)
        assert len((await running.fetch()).svids) == 2


async def test_an_agent_that_expired_serves_what_is_left_then_ends(
    tmp_path: Path, clock: FakeClock, server: FakeServer
) -> None:
    server.agent_ttl = 60
    server.add_entry("a", "/a", MY_UID, x509_svid_ttl=300)
    running = RunningAgent(tmp_path, server, clock=clock, token=server.add_token())
    async with running:
        holder = Holder(running)
        await eventually(lambda: holder.held)
        await server.stop()
        await pass_time(clock, 290, step=5)
        assert holder.held is not None
        assert running.task is not None
        assert not running.task.done()
        await pass_time(clock, 80, step=5)
        task, running.task = running.task, None
        with pytest.raises(AgentRejected, match="has expired"):
            await asyncio.wait_for(task, 10)


async def test_a_jump_of_the_wall_clock_withdraws_at_once(
    tmp_path: Path, clock: FakeClock, server: FakeServer
) -> None:
    server.add_entry("a", "/a", MY_UID, x509_svid_ttl=60)
    async with RunningAgent(tmp_path, server, clock=clock, token=server.add_token()) as running:
        holder = Holder(running)
        await eventually(lambda: holder.held)
        await server.stop()
        clock.jump(61)
        await eventually(lambda: holder.error)


async def test_the_renewed_agent_svid_is_used_and_the_old_one_retired(
    tmp_path: Path, clock: FakeClock, server: FakeServer
) -> None:
    server.agent_ttl = 600
    async with RunningAgent(tmp_path, server, clock=clock, token=server.add_token()) as running:
        await running.stub()
        await eventually(lambda: server.agents)
        record = server.agents["spiffe://example.org/spire/agent/join_token/token-1"]
        first = record.serial
        await pass_time(clock, 350)
        assert server.calls["RenewAgent"] == 1
        assert record.serial != first
        assert record.new_serial == 0
        before = server.calls["SyncAuthorizedEntries"]
        await pass_time(clock, 20)
        assert server.calls["SyncAuthorizedEntries"] > before


async def test_a_failing_renewal_is_tried_again_with_the_old_key_kept(
    tmp_path: Path, clock: FakeClock, server: FakeServer
) -> None:
    server.agent_ttl = 600
    async with RunningAgent(tmp_path, server, clock=clock, token=server.add_token()) as running:
        await running.stub()
        await eventually(lambda: server.agents)
        server.lies.failures["RenewAgent"] = StatusError(grpc.StatusCode.INTERNAL, "not now")
        await pass_time(clock, 400)
        assert server.calls["RenewAgent"] > 2
        del server.lies.failures["RenewAgent"]
        await pass_time(clock, 60)
        record = server.agents["spiffe://example.org/spire/agent/join_token/token-1"]
        assert record.new_serial == 0
    async with RunningAgent(tmp_path, server, clock=clock) as again:
        await again.stub()
        await eventually(lambda: server.calls["PostStatus"] == 3)
    assert server.calls["AttestAgent"] == 1
