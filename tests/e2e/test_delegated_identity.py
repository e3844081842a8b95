"""A proxy on a node, by grpcio's client: a whole server, a whole agent, its admin socket."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from finial.api.spire import types_pb2 as types
from finial.api.spire.agent import debug_pb2, debug_pb2_grpc
from finial.api.spire.server import entry_pb2, entry_pb2_grpc
from finial.spiffe import jwt_svid
from finial.spiffe.x509_svid import X509Svid, verify_chain
from tests.fakes.delegate import OTHER, Delegate, delegate, paths, refused
from tests.fakes.lab import Lab, server_lab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROXY = "spiffe://example.org/proxy"


@contextlib.asynccontextmanager
async def proxy() -> AsyncIterator[tuple[Lab, Delegate]]:
    """A lab whose agent knows this very process as a delegate."""
    async with server_lab() as lab:
        admin = lab.folder / "admin" / "admin.sock"
        settings = f'admin_socket_path = "{admin}"\n  authorized_delegates = ["{PROXY}"]'
        public = lab.folder / "public" / "agent.sock"
        lab.agent.socket = public
        lab.write_agent_config()
        text = lab.agent.config.read_text()
        lab.agent.config.write_text(text.replace("agent {\n", f"agent {{\n  {settings}\n", 1))
        await lab.join()
        await lab.add("/proxy")
        await lab.serving("/proxy")
        async with delegate(admin) as client:
            yield lab, client


async def create(lab: Lab, path: str, **fields: Any) -> None:
    entry = types.Entry(
        spiffe_id=types.SPIFFEID(trust_domain="example.org", path=path),
        parent_id=types.SPIFFEID(trust_domain="example.org", path=lab.agent_id),
        selectors=[types.Selector(type=OTHER[0], value=OTHER[1])],
        **fields,
    )
    request = entry_pb2.BatchCreateEntryRequest(entries=[entry])
    answer = await lab.call(entry_pb2_grpc.EntryStub, "BatchCreateEntry", request)
    assert answer.results[0].status.code == 0, answer


@pytest.mark.timeout(120)
async def test_a_proxy_gets_what_its_workloads_may_have_and_nothing_more() -> None:
    async with proxy() as (lab, me):
        await create(lab, "/admin", admin=True)
        await create(lab, "/down", downstream=True)
        stream = me.svids(OTHER)
        await create(lab, "/web", hint="h")
        while paths(message := await stream.read()) != ["/web"]:
            assert paths(message) == []
        [pair] = message.x509_svids
        svid = X509Svid.parse(tuple(pair.x509_svid.cert_chain), pair.x509_svid_key)
        bundle = await lab.bundle()
        assert verify_chain(svid.chain, bundle, svid.not_before).id.path == "/web"
        assert pair.x509_svid.hint == "h"
        [token] = (await me.tokens(OTHER, audience=("reader",))).svids
        now = token.issued_at
        assert jwt_svid.validate(token.token, bundle, "reader", now).id.path == "/web"
        held = await me.x509_bundles().read()
        assert dict(held.ca_certificates) == {"spiffe://example.org": bundle.x509_der()}
        keys = await me.jwt_bundles().read()
        assert keys.bundles["spiffe://example.org"] == bundle.jwt_jwks()
        assert paths(await me.tokens(pid=os.getpid())) == ["/proxy"]
        assert (await refused(me.tokens()))[1].startswith("must provide either selectors")
        debug: Any = debug_pb2_grpc.DebugStub(me.channel)
        info = await debug.GetInfo(debug_pb2.GetInfoRequest())
        assert [each.id.path for each in info.svid_chain] == [lab.agent_id, ""]
