"""The Agent service under rate limits, and what its callers lose while they wait."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo

from finial.api.spire.server import agent_pb2, svid_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.runtime.rpc import RpcError
from finial.server.api.convert import encode_spiffe_id
from finial.server.api.ratelimit import RateLimitSettings
from finial.server.registry.model import Agent
from tests.fakes.clock import settle
from tests.fakes.server_api import Attested, open_lab, reason_of, renew


async def test_attestations_and_signatures_over_the_rate_wait(tmp_path: Path) -> None:
    async with open_lab(tmp_path, limits=RateLimitSettings(attestations_per_second=1)) as lab:
        agent = await lab.attest()
        second = asyncio.ensure_future(lab.attest())
        await settled_io()
        assert not second.done()
        await lab.clock.advance(1.0)
        await second
        await use_up_signing(agent)
        renewal = asyncio.ensure_future(renew(agent))
        await settled_io()
        assert not renewal.done()
        await lab.clock.advance(1.0)
        await renewal


async def test_who_is_banned_while_it_waits_for_its_turn_gets_no_svid(tmp_path: Path) -> None:
    async with open_lab(tmp_path, limits=RateLimitSettings()) as lab:
        agent = await lab.attest()
        await use_up_signing(agent)
        stub = SVIDStub(agent.channel)
        one = svid_pb2.BatchNewX509SVIDRequest(params=[svid_pb2.NewX509SVIDParams(entry_id="x")])
        late = [asyncio.ensure_future(w) for w in (renew(agent), _awaited(stub, one))]
        await settled_io()
        assert not any(call.done() for call in late)
        await AgentStub(lab.local).BanAgent(
            agent_pb2.BanAgentRequest(id=encode_spiffe_id(agent.id))
        )
        await lab.clock.advance(1.0)
        for call in late:
            with pytest.raises(RpcError) as refused:
                await call
            assert reason_of(refused.value) == PermissionDeniedDetails.AGENT_BANNED


async def _awaited(stub: Any, request: svid_pb2.BatchNewX509SVIDRequest) -> object:
    return await stub.BatchNewX509SVID(request)


async def test_a_renewal_that_waited_out_an_eviction_does_not_take_the_new_agents_place(
    tmp_path: Path,
) -> None:
    async with open_lab(tmp_path, limits=RateLimitSettings()) as lab:
        evicted = await lab.attest()
        await use_up_signing(evicted)
        late = asyncio.ensure_future(renew(evicted))
        await settled_io()
        assert not late.done()
        await AgentStub(lab.local).DeleteAgent(
            agent_pb2.DeleteAgentRequest(id=encode_spiffe_id(evicted.id))
        )
        made = await lab.agents.upsert_attested(
            Agent(
                id=evicted.id,
                attestation_type="join_token",
                serial_number="4711",
                expires_at=2**31,
            )
        )
        await lab.reader.caught_up()
        await lab.clock.advance(1.0)
        with pytest.raises(RpcError):
            await late
        assert await lab.agents.get(evicted.id) == made


async def use_up_signing(agent: Attested) -> None:
    many = [svid_pb2.NewX509SVIDParams(entry_id="x", csr=b"x")] * 500
    request = svid_pb2.BatchNewX509SVIDRequest(params=many)
    await SVIDStub(agent.channel).BatchNewX509SVID(request)


async def settled_io() -> None:
    """Let what needs no clock happen: sockets and the database's threads."""
    for _ in range(20):
        await settle()
        await asyncio.sleep(0.005)


async def test_who_is_refused_for_the_rate_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with open_lab(tmp_path, limits=RateLimitSettings(attestations_per_second=1)) as lab:
        await lab.attest()
        stub: Any = AgentStub(lab.anonymous)
        call = stub.AttestAgent(iter([agent_pb2.AttestAgentRequest()]), timeout=0.5)
        with pytest.raises(RpcError, match="attest agent rate limiting") as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        (detail,) = refused.value.status_details()
        info = RetryInfo()
        assert detail.Unpack(info)
        assert info.retry_delay.ToTimedelta().total_seconds() == pytest.approx(1.0)
