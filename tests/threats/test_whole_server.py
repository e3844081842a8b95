"""A whole server: signers, database, both sockets, and strangers at the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from finial.api.spire.server import agent_pb2, bundle_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.runtime.rpc import RpcError
from finial.server.api.bundle_codec import decode_bundle, encode_bundle
from tests.e2e.test_server import bundle_of, join
from tests.fakes.ca import FakeCa
from tests.fakes.server_process import DOMAIN, RunningServer, config_in, running
from tests.fakes.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from finial.spiffe.bundle import Bundle
    from finial.spiffe.x509_svid import X509Svid
    from tests.threats.conftest import Told


async def test_a_federated_domains_certificate_opens_no_connection(
    tmp_path: Path, told: Told
) -> None:
    """Knowing a domain's bundle is for workloads: here only administrators' domains count."""
    async with running(config_in(tmp_path)) as server:
        other = FakeCa("other.org", now=server.clock.time())
        await federate(server, other)
        bundle = await bundle_of(server)
        foreign = other.issue("spiffe://other.org/spire/agent/join_token/one")
        error = await refused(server, bundle, foreign)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        await eventually(lambda: told("connections refused"))
        assert told("connections refused")[0]["reason"] == "TLS handshake failed"
        agent = server.connect(bundle, await join(server, bundle))
        await AgentStub(agent).PostStatus(agent_pb2.PostStatusRequest(agent_version="1"))
        await agent.close()


async def federate(server: RunningServer, other: FakeCa) -> None:
    message = encode_bundle(other.bundle(), ())
    request = bundle_pb2.BatchSetFederatedBundleRequest(bundle=[message])
    channel = server.local()
    (result,) = (await BundleStub(channel).BatchSetFederatedBundle(request)).results
    assert result.status.code == 0, result
    assert decode_bundle(message, other.trust_domain).x509_authorities
    await channel.close()


async def refused(server: RunningServer, bundle: Bundle, svid: X509Svid) -> RpcError:
    channel = server.connect(bundle, svid)
    with pytest.raises(RpcError) as caught:
        await AgentStub(channel).PostStatus(agent_pb2.PostStatusRequest(agent_version="1"))
    await channel.close()
    return caught.value


async def test_a_namesake_trust_domain_with_its_own_authority_opens_no_connection(
    tmp_path: Path,
) -> None:
    async with running(config_in(tmp_path)) as server:
        bundle = await bundle_of(server)
        agent = await join(server, bundle)
        impostor = FakeCa(DOMAIN.name, now=server.clock.time())
        forged = impostor.issue(agent.id, serial=agent.serial)
        assert (await refused(server, bundle, forged)).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_by_an_authority_that_is_not_in_the_bundle_hears_nothing_of_a_client(
    tmp_path: Path,
) -> None:
    async with running(config_in(tmp_path)) as server:
        other = FakeCa(DOMAIN.name, now=server.clock.time())
        channel = server.connect(other.bundle())
        with pytest.raises(RpcError, match="cannot connect"):
            await BundleStub(channel).GetBundle(bundle_pb2.GetBundleRequest())
        await channel.close()
