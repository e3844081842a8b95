"""Two servers, as two processes, on one PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from finial.api.spire import types_pb2 as types
from finial.api.spire.server import agent_pb2, agent_pb2_grpc, entry_pb2, entry_pb2_grpc
from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.runtime.rpc import RpcError
from finial.spiffe import jwt_svid
from finial.spiffe.x509_svid import X509Svid, verify_chain
from tests.fakes.ca import pkcs8
from tests.fakes.daemon import PATIENCE
from tests.fakes.server_api import attest_with, csr
from tests.fakes.server_process import DOMAIN
from tests.fakes.several import authorized, connected, join, reason_for_refusal, two_servers

if TYPE_CHECKING:
    from finial.runtime.rpc import Channel

pytestmark = pytest.mark.timeout(180)


async def renew(channel: Channel) -> X509Svid:
    key = ec.generate_private_key(ec.SECP256R1())
    params = agent_pb2.AgentX509SVIDParams(csr=csr(key))
    stub: Any = agent_pb2_grpc.AgentStub(channel)
    answer = await stub.RenewAgent(agent_pb2.RenewAgentRequest(params=params))
    return X509Svid.parse(tuple(answer.svid.cert_chain), pkcs8(key))


def proto_id(agent: str) -> types.SPIFFEID:
    return types.SPIFFEID(trust_domain=DOMAIN.name, path=agent)


async def test_each_server_signs_with_its_own_authority_and_the_bundle_has_both(
    postgres_dsn: str,
) -> None:
    async with two_servers(postgres_dsn) as (one, other):
        bundle = await one.bundle()
        assert await other.bundle() == bundle
        assert (len(bundle.x509_authorities), len(bundle.jwt_authorities)) == (2, 2)
        now = one.reach.clock.time()
        roots, keys = set(), set()
        for lab in (one, other):
            roots.add(verify_chain(await lab.mint("/db"), bundle, now).root_der)
            token = jwt_svid.validate(await lab.mint_token("/db"), bundle, "test", now)
            keys.add(token.key_id)
        assert (len(roots), len(keys)) == (2, 2)


async def test_an_agent_goes_from_one_server_to_the_other_and_finds_everything_there(
    postgres_dsn: str,
) -> None:
    async with two_servers(postgres_dsn) as (one, other):
        await one.join()
        await one.add("/db")
        await one.serving("/db")
        # An entry that was made at the other server is served by this one.
        other.agent_id = one.agent_id
        await other.add("/web")
        await one.serving("/db", "/web")
        first = one.agent_svid()
        await one.agent.stop()
        one.port, at_first = other.port, one.port
        one.write_agent_config()
        await one.agent.start()
        await one.serving("/db", "/web")
        assert one.agent_svid() == first
        one.port = at_first
        await one.add("/cache")
        await one.serving("/cache", "/db", "/web")


async def test_a_ban_at_one_server_ends_the_agent_at_the_other(postgres_dsn: str) -> None:
    async with two_servers(postgres_dsn) as (one, other):
        await one.join()
        await one.add("/db")
        await one.serving("/db")
        request = agent_pb2.BanAgentRequest(id=proto_id(one.agent_id))
        await other.call(agent_pb2_grpc.AgentStub, "BanAgent", request)
        assert await one.agent.wait() == 1
        assert "banned at the server" in one.agent.log()


async def test_a_ban_and_an_eviction_count_at_both_servers_and_cut_open_calls(
    postgres_dsn: str,
) -> None:
    async with two_servers(postgres_dsn) as (one, other):
        bundle = await one.bundle()
        svid = await join(one, bundle)
        who = types.SPIFFEID(trust_domain=DOMAIN.name, path=svid.id.path)
        async with connected(other, bundle, svid) as channel:
            stub: Any = entry_pb2_grpc.EntryStub(channel)
            open_call = stub.SyncAuthorizedEntries()  # waits for its first request
            waiting = asyncio.ensure_future(open_call.read())
            await authorized(channel)  # on the same connection, so that one came before
            ban = agent_pb2.BanAgentRequest(id=who)
            await one.call(agent_pb2_grpc.AgentStub, "BanAgent", ban)
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(RpcError, match="authorization denied"):
                    await waiting
        banned = PermissionDeniedDetails.AGENT_BANNED
        assert await reason_for_refusal(one, bundle, svid) == banned
        assert await reason_for_refusal(other, bundle, svid) == banned
        evict = agent_pb2.DeleteAgentRequest(id=who)
        await other.call(agent_pb2_grpc.AgentStub, "DeleteAgent", evict)
        gone = PermissionDeniedDetails.AGENT_NOT_ATTESTED
        assert await reason_for_refusal(other, bundle, svid) == gone
        assert await reason_for_refusal(one, bundle, svid) == gone


async def test_what_was_written_at_one_server_is_read_at_the_other_right_after(
    postgres_dsn: str,
) -> None:
    async with two_servers(postgres_dsn) as (one, other):
        bundle = await one.bundle()
        for number in range(20):
            here, there = (one, other) if number % 2 else (other, one)
            made = await here.create_entry("/node", f"/w/{number}")
            wanted = entry_pb2.GetEntryRequest(id=made)
            found = await there.call(entry_pb2_grpc.EntryStub, "GetEntry", wanted)
            assert found.spiffe_id.path == f"/w/{number}"
            assert made in await there.entry_ids()
            # An agent that has just attested is no stranger at the other server.
            svid = await join(here, bundle)
            assert await reason_for_refusal(there, bundle, svid) == 0


async def test_of_fifty_attestations_with_one_token_at_two_servers_exactly_one_succeeds(
    postgres_dsn: str,
) -> None:
    async with two_servers(postgres_dsn) as (one, other):
        bundle = await one.bundle()
        token = await one.token()
        async with connected(one, bundle) as here, connected(other, bundle) as there:

            async def attest(number: int) -> grpc.StatusCode:
                try:
                    await attest_with(here if number % 2 else there, token, csr())
                except RpcError as error:
                    return error.code()
                return grpc.StatusCode.OK

            done = await asyncio.gather(*(attest(number) for number in range(50)))
        assert done.count(grpc.StatusCode.OK) == 1
        assert done.count(grpc.StatusCode.INVALID_ARGUMENT) == 49


async def test_renewals_that_race_at_two_servers_leave_one_that_counts(postgres_dsn: str) -> None:
    async with two_servers(postgres_dsn) as (one, other):
        bundle = await one.bundle()
        svid = await join(one, bundle)
        async with (
            connected(one, bundle, svid) as here,
            connected(other, bundle, svid) as there,
        ):
            for _ in range(5):
                pair = await asyncio.gather(renew(here), renew(there))
        reasons = [await reason_for_refusal(other, bundle, each) for each in pair]
        stale = PermissionDeniedDetails.AGENT_NOT_ACTIVE
        assert sorted(reasons) == sorted([0, stale])
        # Its first use, at one server, has retired the old SVID and the other renewal at both.
        counts = pair[reasons.index(0)]
        for lab in (one, other):
            assert await reason_for_refusal(lab, bundle, counts) == 0
            assert await reason_for_refusal(lab, bundle, pair[reasons.index(stale)]) == stale
            assert await reason_for_refusal(lab, bundle, svid) == stale


async def test_one_server_goes_on_when_the_other_is_killed_and_it_comes_back_as_it_was(
    postgres_dsn: str,
) -> None:
    async with two_servers(postgres_dsn) as (one, other):
        await one.join()
        await one.add("/db")
        await one.serving("/db")
        bundle = await one.bundle()
        await other.server.kill()
        await one.add("/web")
        await one.serving("/db", "/web")
        assert await one.bundle() == bundle
        await other.server.start()
        assert await other.bundle() == bundle
        roots = {
            verify_chain(await each.mint("/x"), bundle, 0 + each.reach.clock.time()).root_der
            for each in (one, other)
        }
        assert len(roots) == 2
        # What was made while it was away is there.
        assert await other.entry_ids() == await one.entry_ids()


async def test_a_server_that_loses_its_keys_gives_up_its_own_authorities_alone(
    postgres_dsn: str,
) -> None:
    async with two_servers(postgres_dsn, key_manager="memory") as (one, other):
        before = await other.bundle()
        kept = verify_chain(await other.mint("/x"), before, other.reach.clock.time()).root_der
        # No SVID hangs from this server's authority but its own: it leaves at once.
        await one.server.stop()
        await one.server.start()
        after = await other.bundle()
        assert kept in {each.der for each in after.x509_authorities}
        assert await one.bundle() == after
        fresh = verify_chain(await one.mint("/x"), after, one.reach.clock.time()).root_der
        assert fresh not in {each.der for each in before.x509_authorities}
        assert fresh != kept
        again = verify_chain(await other.mint("/x"), after, other.reach.clock.time()).root_der
        assert again == kept
