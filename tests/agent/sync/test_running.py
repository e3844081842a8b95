"""The agent against a server: start, sync, rotation, refusal. Real sockets, real TLS."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from finial.agent import keys
from finial.agent.errors import (
    AgentBanned,
    AgentRejected,
    AttestationRefused,
    BootstrapError,
    StorageError,
)
from finial.agent.sync.pace import AT_ONCE
from finial.api.spire import types_pb2 as types
from finial.api.workload import workload_pb2 as pb
from finial.runtime.clock import SystemClock
from finial.runtime.durable import FolderLockedError
from finial.runtime.rpc import RpcError, StatusError
from tests.fakes.ca import FakeCa
from tests.fakes.server import FakeServer, Reason, denied
from tests.fakes.waiting import eventually
from tests.fakes.workload import HEADER, MY_UID, RunningAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FAST = '{ sync_interval = "30ms" }'
AGENT_ID = "spiffe://example.org/spire/agent/join_token/token-1"


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer(SystemClock())
    await fake.start()
    yield fake
    await fake.stop()


def agent(folder: Path, server: FakeServer, *, fresh: bool = True, **settings: Any) -> RunningAgent:
    token = server.add_token() if fresh else "token-1"
    settings.setdefault("experimental", FAST)
    return RunningAgent(folder, server, clock=server.clock, token=token, **settings)


def paths(response: pb.X509SVIDResponse) -> list[str]:
    return [svid.spiffe_id.removeprefix("spiffe://example.org") for svid in response.svids]


async def ended(running: RunningAgent) -> None:
    assert running.task is not None
    await asyncio.wait_for(asyncio.shield(running.task), 10)


async def watch(running: RunningAgent) -> Any:
    stub = await running.stub()
    return stub.FetchX509SVID(pb.X509SVIDRequest(), metadata=HEADER)


async def test_from_a_join_token_to_an_svid(tmp_path: Path, server: FakeServer) -> None:
    server.add_entry("e1", "/w", MY_UID)
    async with agent(tmp_path, server) as running:
        assert paths(await running.fetch()) == ["/w"]
        await eventually(lambda: server.versions)
    assert server.calls["AttestAgent"] == 1
    assert server.tokens == set()


async def test_a_restart_with_its_data_needs_no_attestation_and_no_bundle_file(
    tmp_path: Path, server: FakeServer
) -> None:
    server.add_entry("e1", "/w", MY_UID)
    async with agent(tmp_path, server) as running:
        await running.fetch()
    again = agent(tmp_path, server, fresh=False)
    again.start()
    (tmp_path / "bundle.pem").unlink(missing_ok=True)
    async with again:
        assert paths(await again.fetch()) == ["/w"]
    assert server.calls["AttestAgent"] == 1


async def test_a_second_agent_on_one_data_folder_is_refused(
    tmp_path: Path, server: FakeServer
) -> None:
    async with agent(tmp_path, server) as running:
        await running.stub()
        other = agent(tmp_path, server)
        other.start()
        with pytest.raises(FolderLockedError, match="in use by process"):
            await ended(other)


async def test_a_spent_token_ends_the_agent_with_the_servers_word(
    tmp_path: Path, server: FakeServer
) -> None:
    running = agent(tmp_path, server)
    server.tokens.clear()
    running.start()
    with pytest.raises(AttestationRefused, match="already been used"):
        await ended(running)


async def test_without_token_and_data_the_agent_says_what_it_needs(
    tmp_path: Path, server: FakeServer
) -> None:
    running = RunningAgent(tmp_path, server, clock=server.clock)
    running.start()
    with pytest.raises(AttestationRefused, match="join token was not provided"):
        await ended(running)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"{}"])
async def test_an_unusable_trust_bundle_ends_the_agent(
    tmp_path: Path, server: FakeServer, content: bytes
) -> None:
    path = tmp_path / "other.pem"
    path.write_bytes(content)
    running = agent(tmp_path, server, trust_bundle_path=f'"{path}"')
    running.start()
    with pytest.raises(BootstrapError, match=r"other\.pem"):
        await ended(running)


async def test_a_damaged_data_folder_ends_the_agent(tmp_path: Path, server: FakeServer) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "agent-data.json").write_text("{")
    running = agent(tmp_path, server)
    running.start()
    with pytest.raises(StorageError, match=r"agent-data\.json is damaged"):
        await ended(running)


async def test_a_server_of_another_authority_is_never_told_the_token(
    tmp_path: Path, server: FakeServer
) -> None:
    (tmp_path / "b.pem").write_bytes(FakeCa(now=server.clock.time()).bundle().to_pem())
    running = agent(tmp_path, server, trust_bundle_path=f'"{tmp_path / "b.pem"}"')
    async with running:
        with pytest.raises(RpcError) as caught:
            await running.fetch()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert server.calls["AttestAgent"] == 0


async def test_a_workload_of_the_same_domain_cannot_pose_as_the_server(
    tmp_path: Path, server: FakeServer
) -> None:
    server.lies.swap_own = "spiffe://example.org/some/workload"
    async with agent(tmp_path, server) as running:
        with pytest.raises(RpcError) as caught:
            await running.fetch()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert server.calls["AttestAgent"] == 0


async def test_not_even_insecure_bootstrap_takes_another_id_for_the_servers(
    tmp_path: Path, server: FakeServer
) -> None:
    server.lies.swap_own = "spiffe://example.org/some/workload"
    async with agent(tmp_path, server, insecure_bootstrap="true") as running:
        with pytest.raises(RpcError):
            await running.fetch()
    assert server.calls["AttestAgent"] == 0


@pytest.mark.parametrize(
    "identity", ["spiffe://example.org/workload", "spiffe://other.org/spire/agent/x"]
)
async def test_an_identity_that_is_no_agents_of_this_domain_is_not_taken(
    tmp_path: Path, server: FakeServer, identity: str
) -> None:
    server.lies.swap_agent = identity
    running = agent(tmp_path, server)
    async with running:
        with pytest.raises(RpcError):
            await running.fetch()
    assert not (tmp_path / "data" / "agent-data.json").exists() or (
        json.loads((tmp_path / "data" / "agent-data.json").read_text())["svid"] is None
    )


async def test_a_token_for_another_identity_is_never_handed_on(
    tmp_path: Path, server: FakeServer
) -> None:
    server.add_entry("a", "/a", MY_UID)
    async with agent(tmp_path, server) as running:
        await running.fetch()
        server.lies.swap_identity = "spiffe://example.org/admin"
        stub = await running.stub()
        with pytest.raises(RpcError, match="for another identity") as caught:
            await stub.FetchJWTSVID(pb.JWTSVIDRequest(audience=["x"]), metadata=HEADER)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_insecure_bootstrap_takes_the_first_bundle_and_verifies_from_then_on(
    tmp_path: Path, server: FakeServer
) -> None:
    server.add_entry("e1", "/w", MY_UID)
    async with agent(tmp_path, server, insecure_bootstrap="true") as running:
        assert paths(await running.fetch()) == ["/w"]
    stored = json.loads((tmp_path / "data" / "agent-data.json").read_text())
    assert len(stored["bundle"]) == 1


async def test_the_spiffe_form_of_a_bundle_file_is_read(tmp_path: Path, server: FakeServer) -> None:
    server.add_entry("e1", "/w", MY_UID)
    path = tmp_path / "bundle.json"
    path.write_bytes(server.ca.bundle().to_jwks())
    settings: Any = {"trust_bundle_path": f'"{path}"', "trust_bundle_format": '"spiffe"'}
    async with agent(tmp_path, server, **settings) as running:
        assert paths(await running.fetch()) == ["/w"]


async def test_entries_that_come_change_and_go_are_pushed(
    tmp_path: Path, server: FakeServer
) -> None:
    server.add_entry("a", "/a", MY_UID)
    async with agent(tmp_path, server) as running:
        stream = await watch(running)
        assert paths(await stream.read()) == ["/a"]
        server.add_entry("b", "/b", MY_UID)
        assert paths(await stream.read()) == ["/a", "/b"]
        server.add_entry("b", "/c", MY_UID)
        while "/c" not in paths(message := await stream.read()):
            assert paths(message) == ["/a"]
        del server.entries["a"]
        assert paths(await stream.read()) == ["/c"]
        del server.entries["b"]
        with pytest.raises(RpcError) as caught:
            await stream.read()
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert caught.value.details() == "no identity issued"


async def test_more_than_a_page_of_entries_is_synced_by_revision(
    tmp_path: Path, server: FakeServer
) -> None:
    for number in range(1201):
        server.add_entry(f"e{number:04}", f"/w{number}", "unix:uid:4242")
    server.add_entry("mine", "/mine", MY_UID)
    async with agent(tmp_path, server) as running:
        assert paths(await running.fetch()) == ["/mine"]
        assert server.calls["SyncAuthorizedEntries.ids"] == 1202
        server.add_entry("mine", "/other", MY_UID)
        await eventually(lambda: server.calls["SyncAuthorizedEntries.ids"] == 1203)
        stream = await watch(running)
        while paths(await stream.read()) != ["/other"]:
            pass
        await eventually(lambda: sum(server.issued.values()) >= 1000)
    assert server.calls["BatchNewX509SVID"] >= 2


async def test_too_large_a_batch_is_halved_until_it_passes(
    tmp_path: Path, server: FakeServer
) -> None:
    server.lies.largest_batch = 3
    for number in range(10):
        server.add_entry(f"e{number}", f"/w{number}", MY_UID)
    async with agent(tmp_path, server) as running:
        assert len((await running.fetch()).svids) == 10
    assert max(server.issued.values()) == 1


async def test_one_refused_entry_does_not_hold_up_the_others(
    tmp_path: Path, server: FakeServer
) -> None:
    server.add_entry("a", "/a", MY_UID)
    server.add_entry("b", "/b", MY_UID)
    async with agent(tmp_path, server) as running:
        entry = server.entries["b"]
        await running.stub()
        gate = server.lies.delays["BatchNewX509SVID"] = asyncio.Event()
        await eventually(lambda: server.calls["BatchNewX509SVID"] >= 1)
        del server.entries["b"]  # after the sync, before the order
        gate.set()
        assert paths(await running.fetch()) == ["/a"]
        server.entries["b"] = entry
        stream = await watch(running)
        while paths(await stream.read()) != ["/a", "/b"]:
            pass


async def test_an_svid_for_another_identity_is_never_served(
    tmp_path: Path, server: FakeServer
) -> None:
    server.add_entry("a", "/a", MY_UID)
    server.lies.swap_identity = "spiffe://example.org/admin"
    async with agent(tmp_path, server) as running:
        with pytest.raises(RpcError) as caught:
            await running.fetch()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_federated_bundles_come_with_the_svid(tmp_path: Path, server: FakeServer) -> None:
    other = FakeCa("other.org", now=server.clock.time())
    server.federated["other.org"] = types.Bundle(
        trust_domain="other.org", x509_authorities=[types.X509Certificate(asn1=other.der)]
    )
    server.add_entry("a", "/a", MY_UID, federates_with=["other.org", "missing.org"])
    async with agent(tmp_path, server) as running:
        response = await running.fetch()
        assert dict(response.federated_bundles) == {"spiffe://other.org": other.der}


async def test_workloads_are_served_from_memory_while_the_server_is_away(
    tmp_path: Path, server: FakeServer
) -> None:
    server.add_entry("a", "/a", MY_UID)
    async with agent(tmp_path, server) as running:
        stream = await watch(running)
        await stream.read()
        await server.stop()
        for _ in range(5):
            assert paths(await running.fetch()) == ["/a"]
        await server.start()
        server.add_entry("b", "/b", MY_UID)
        assert paths(await stream.read()) == ["/a", "/b"]


async def test_a_banned_agent_deletes_its_svid_and_ends(tmp_path: Path, server: FakeServer) -> None:
    server.add_entry("a", "/a", MY_UID)
    running = agent(tmp_path, server)
    async with running:
        await running.fetch()
        server.ban(AGENT_ID)
        with pytest.raises(AgentBanned, match="banned at the server"):
            await ended(running)
        running.task = None
    stored = json.loads((tmp_path / "data" / "agent-data.json").read_text())
    assert stored["svid"] is None


@pytest.mark.parametrize(
    "reason",
    [
        Reason.AGENT_NOT_ATTESTED,
        Reason.AGENT_NOT_ACTIVE,
        Reason.AGENT_EXPIRED,
        Reason.AGENT_MUST_REATTEST,
    ],
)
async def test_an_agent_that_cannot_attest_again_ends_when_it_must(
    tmp_path: Path, server: FakeServer, reason: Any
) -> None:
    server.add_entry("a", "/a", MY_UID)
    running = agent(tmp_path, server)
    async with running:
        await running.fetch()
        server.lies.failures["SyncAuthorizedEntries"] = denied(reason)
        with pytest.raises(AgentRejected, match="new evidence"):
            await ended(running)
        running.task = None
    assert json.loads((tmp_path / "data" / "agent-data.json").read_text())["svid"] is None


async def test_an_evicted_agent_that_can_attest_again_does_so_unnoticed(
    tmp_path: Path, server: FakeServer
) -> None:
    server.reattestable = True
    server.add_entry("a", "/a", MY_UID)
    async with agent(tmp_path, server) as running:
        stream = await watch(running)
        await stream.read()
        server.evict(AGENT_ID)
        await eventually(lambda: server.calls["AttestAgent"] == 2)
        server.add_entry("b", "/b", MY_UID)
        assert paths(await stream.read()) == ["/a", "/b"]


async def test_a_refusal_without_a_reason_is_only_an_error(
    tmp_path: Path, server: FakeServer
) -> None:
    server.add_entry("a", "/a", MY_UID)
    async with agent(tmp_path, server) as running:
        await running.fetch()
        before = server.calls["SyncAuthorizedEntries"]
        server.lies.failures["SyncAuthorizedEntries"] = StatusError(
            grpc.StatusCode.PERMISSION_DENIED, "for no reason"
        )
        await eventually(lambda: server.calls["SyncAuthorizedEntries"] > before + 2)
        assert paths(await running.fetch()) == ["/a"]
        del server.lies.failures["SyncAuthorizedEntries"]
        server.add_entry("b", "/b", MY_UID)
        stream = await watch(running)
        while paths(await stream.read()) != ["/a", "/b"]:
            pass


async def test_a_tainted_authority_renews_every_svid_and_the_agents_own(
    tmp_path: Path, server: FakeServer
) -> None:
    server.add_entry("a", "/a", MY_UID)
    async with agent(tmp_path, server) as running:
        stream = await watch(running)
        first = await stream.read()
        old, new = server.ca, FakeCa(now=server.clock.time(), ttl=86400)
        server.roots.append(types.X509Certificate(asn1=new.der))
        await stream.read()  # the new root
        server.trust_also(new)
        server.ca = new
        server.renew_own_svid()
        server.roots[0].tainted = True
        while (message := await stream.read()).svids[0].x509_svid == first.svids[0].x509_svid:
            pass
        assert old.der in message.svids[0].bundle
        await eventually(lambda: server.calls["RenewAgent"] == 1)


async def test_a_bundle_without_authorities_is_not_believed(
    tmp_path: Path, server: FakeServer
) -> None:
    server.add_entry("a", "/a", MY_UID)
    async with agent(tmp_path, server) as running:
        await running.fetch()
        roots, server.roots = server.roots, []
        before = server.calls["GetBundle"]
        await eventually(lambda: server.calls["GetBundle"] > before + 2)
        assert (await running.fetch()).svids[0].bundle == server.ca.der
        server.roots = roots
    assert len(json.loads((tmp_path / "data" / "agent-data.json").read_text())["bundle"]) == 1


async def test_unanswered_challenges_end_a_join_token_attestation(
    tmp_path: Path, server: FakeServer
) -> None:
    server.lies.challenge = b"?"
    running = agent(tmp_path, server)
    running.start()
    with pytest.raises(AttestationRefused, match="unexpected challenge"):
        await ended(running)


async def test_the_token_stands_in_no_log_line(
    tmp_path: Path, server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    server.add_entry("a", "/a", MY_UID)
    running = RunningAgent(tmp_path, server, clock=server.clock, token="s3cret-never-spent")
    running.start()
    with pytest.raises(AttestationRefused):
        await ended(running)
    assert "s3cret" not in caplog.text
    assert not [r for r in caplog.records if "s3cret" in str(getattr(r, "data", ""))]


async def test_rsa_keys_are_made_beside_the_loop_that_serves_workloads(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    makers = []

    def new_key(key_type: keys.KeyType = keys.KeyType.EC_P256) -> keys.PrivateKey:
        if key_type is keys.KeyType.RSA_2048:
            makers.append(threading.current_thread())
        return made(key_type)

    made = keys.new_key
    monkeypatch.setattr(keys, "new_key", new_key)
    server.add_entry("e1", "/w", MY_UID)
    async with agent(tmp_path, server, workload_x509_svid_key_type='"rsa-2048"') as running:
        await running.fetch()
    assert makers
    assert threading.main_thread() not in makers


async def test_svids_of_an_authority_that_vanished_untold_are_renewed_at_once(
    tmp_path: Path, server: FakeServer
) -> None:
    # Tainted and revoked between two syncs: the agent has never heard of the first.
    server.add_entry("a", "/a", MY_UID)
    async with agent(tmp_path, server) as running:
        stream = await watch(running)
        first = await stream.read()
        new = FakeCa(now=server.clock.time(), ttl=86400)
        server.trust_also(new)
        server.ca = new
        server.roots[:] = [types.X509Certificate(asn1=new.der)]
        while (message := await stream.read()).svids[0].x509_svid == first.svids[0].x509_svid:
            pass
        assert message.svids[0].bundle == new.der
        await eventually(lambda: server.calls["RenewAgent"] == 1)


async def test_svids_of_a_tainted_authority_are_renewed_in_lots(
    tmp_path: Path, server: FakeServer
) -> None:
    for number in range(AT_ONCE + 20):
        server.add_entry(f"e{number}", f"/e{number}", MY_UID)
    async with agent(tmp_path, server) as running:
        await running.fetch()
        new = FakeCa(now=server.clock.time(), ttl=86400)
        server.roots.append(types.X509Certificate(asn1=new.der))
        server.trust_also(new)
        server.ca = new
        server.roots[0].tainted = True
        total = sum(server.issued.values())
        await eventually(lambda: sum(server.issued.values()) > total)
        # How long it is until the next is the pace's own test: here the clock is the real one.
        assert sum(server.issued.values()) - total == AT_ONCE
        await eventually(lambda: sum(server.issued.values()) == total + AT_ONCE + 20)


@pytest.mark.parametrize("fate", ["tainted", "gone"])
async def test_a_cached_token_is_not_given_once_its_key_is_not_to_be_relied_on(
    tmp_path: Path, server: FakeServer, fate: str
) -> None:
    server.add_entry("a", "/a", MY_UID)
    async with agent(tmp_path, server) as running:
        stub = await running.stub()
        request = pb.JWTSVIDRequest(audience=["x"])
        first = await stub.FetchJWTSVID(request, metadata=HEADER)
        bundles = server.calls["GetBundle"]
        await eventually(lambda: server.calls["GetBundle"] > bundles + 1)
        assert await stub.FetchJWTSVID(request, metadata=HEADER) == first
        if fate == "tainted":
            server.tainted_jwt = True
        else:
            server.ca = FakeCa(now=server.clock.time(), key_id="jwt-key-2")
        bundles = server.calls["GetBundle"]
        await eventually(lambda: server.calls["GetBundle"] > bundles + 1)
        assert await stub.FetchJWTSVID(request, metadata=HEADER) != first
