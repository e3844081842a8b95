"""A whole server: signers, database, both sockets."""

import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from finial.api.grpc import health_pb2
from finial.api.grpc.health_pb2_grpc import HealthStub
from finial.api.spire import types_pb2
from finial.api.spire.server import agent_pb2, bundle_pb2, debug_pb2, entry_pb2, svid_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.api.spire.server.debug_pb2_grpc import DebugStub
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.runtime.durable import FolderLockedError
from finial.runtime.rpc import RpcError
from finial.server.api.bundle_codec import decode_bundle
from finial.server.api.convert import encode_spiffe_id
from finial.server.datastore.errors import SpireDatabase
from finial.spiffe import jwt_svid
from finial.spiffe.bundle import Bundle
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import X509Svid, verify_chain
from tests.fakes.ca import pkcs8
from tests.fakes.server_api import attest_with, csr
from tests.fakes.server_process import DOMAIN, RunningServer, config_in, running

WEB = SpiffeId.of(DOMAIN, "/web")


async def bundle_of(server: RunningServer) -> Bundle:
    """As grpcio's own client gets it from the admin socket."""
    async with grpc.aio.insecure_channel(f"unix:{server.socket}") as channel:
        message = await BundleStub(channel).GetBundle(bundle_pb2.GetBundleRequest())
    return decode_bundle(message, DOMAIN)


async def join(server: RunningServer, bundle: Bundle) -> X509Svid:
    """A new agent's SVID."""
    async with grpc.aio.insecure_channel(f"unix:{server.socket}") as channel:
        request = agent_pb2.CreateJoinTokenRequest(ttl=60)
        token = await AgentStub(channel).CreateJoinToken(request)
    key = ec.generate_private_key(ec.SECP256R1())
    nobody = server.connect(bundle)
    result = await attest_with(nobody, token.value, csr(key))
    await nobody.close()
    return X509Svid.parse(tuple(result.svid.cert_chain), pkcs8(key))


async def add_web_entry(server: RunningServer, agent: SpiffeId) -> types_pb2.Entry:
    wanted = types_pb2.Entry(
        spiffe_id=encode_spiffe_id(WEB),
        parent_id=encode_spiffe_id(agent),
        selectors=[types_pb2.Selector(type="unix", value="uid:0")],
    )
    async with grpc.aio.insecure_channel(f"unix:{server.socket}") as channel:
        request = entry_pb2.BatchCreateEntryRequest(entries=[wanted])
        (result,) = (await EntryStub(channel).BatchCreateEntry(request)).results
    assert result.status.code == 0
    return result.entry


async def synchronised(channel: Any) -> list[types_pb2.Entry]:
    call: Any = EntryStub(channel).SyncAuthorizedEntries(
        iter([entry_pb2.SyncAuthorizedEntriesRequest()])
    )
    return [entry async for answer in call for entry in answer.entries]


async def test_from_token_to_documents_that_verify(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as server:
        bundle = await bundle_of(server)
        agent = await join(server, bundle)
        made = await add_web_entry(server, agent.id)
        channel = server.connect(bundle, agent)
        assert await synchronised(channel) == [made]
        params = svid_pb2.NewX509SVIDParams(entry_id=made.id, csr=csr())
        batch = svid_pb2.BatchNewX509SVIDRequest(params=[params])
        (result,) = (await SVIDStub(channel).BatchNewX509SVID(batch)).results
        proven = verify_chain(tuple(result.svid.cert_chain), bundle, server.clock.time())
        assert proven.id == WEB
        wanted = svid_pb2.NewJWTSVIDRequest(entry_id=made.id, audience=["them"])
        token = (await SVIDStub(channel).NewJWTSVID(wanted)).svid.token
        read = jwt_svid.validate(token, bundle, "them", server.clock.time())
        assert read.id == WEB
        await channel.close()


async def test_health_and_debug_answer_on_the_admin_socket(tmp_path: Path) -> None:
    async with (
        running(config_in(tmp_path)) as server,
        grpc.aio.insecure_channel(f"unix:{server.socket}") as channel,
    ):
        health = await HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        info = await DebugStub(channel).GetInfo(debug_pb2.GetInfoRequest())
        assert [cert.id.path for cert in info.svid_chain] == ["/spire/server", ""]


async def test_the_admin_socket_is_for_its_owner_alone_and_goes_with_the_server(
    tmp_path: Path,
) -> None:
    config = config_in(tmp_path)
    async with running(config):
        mode = config.server.socket_path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not config.server.socket_path.exists()


async def test_a_restarted_server_knows_its_agents_entries_and_authorities(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with running(config) as server:
        bundle = await bundle_of(server)
        agent = await join(server, bundle)
        made = await add_web_entry(server, agent.id)
    async with running(config) as server:
        assert await bundle_of(server) == bundle
        channel = server.connect(bundle, agent)
        assert await synchronised(channel) == [made]
        await channel.close()


async def test_authorities_in_memory_are_replaced_by_a_restart(tmp_path: Path) -> None:
    config = config_in(tmp_path, key_manager="memory")
    async with running(config) as server:
        before = await bundle_of(server)
        old = await join(server, before)
    async with running(config) as server:
        after = await bundle_of(server)
        # What the lost key has signed is good until its end.
        assert set(before.x509_authorities) < set(after.x509_authorities)
        channel = server.connect(after, old)
        assert await synchronised(channel) == []
        await channel.close()
        agent = await join(server, after)
        channel = server.connect(after, agent)
        assert await synchronised(channel) == []
        await channel.close()


async def test_a_second_server_on_the_folder_is_refused_and_the_first_one_named(
    tmp_path: Path,
) -> None:
    config = config_in(tmp_path)
    async with running(config) as server:
        with pytest.raises(FolderLockedError, match=f"process {os.getpid()}"):
            async with running(config):
                pass
        assert (await bundle_of(server)).x509_authorities


async def test_a_spire_servers_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    path = config.datastore.connection_string
    assert isinstance(path, Path)
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE registered_entries (id INTEGER)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SpireDatabase, match="finial server import spire"):
        async with running(config):
            pass
    assert path.read_bytes() == before


async def test_who_has_no_certificate_may_only_attest_and_read_the_bundle(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as server:
        bundle = await bundle_of(server)
        nobody = server.connect(bundle)
        await BundleStub(nobody).GetBundle(bundle_pb2.GetBundleRequest())
        with pytest.raises(RpcError, match="authorization denied"):
            await EntryStub(nobody).ListEntries(entry_pb2.ListEntriesRequest())
        with pytest.raises(RpcError, match="authorization denied"):
            await synchronised(nobody)
        await nobody.close()
