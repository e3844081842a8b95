"""A whole agent, as a process, between a whole server and workloads that nobody here wrote."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from finial.api.spire import types_pb2 as types
from finial.api.spire.server import (
    agent_pb2,
    agent_pb2_grpc,
    bundle_pb2,
    bundle_pb2_grpc,
    entry_pb2,
    entry_pb2_grpc,
)
from tests.fakes.agent_process import AgentProcess
from tests.fakes.foreign_client import interpreter, run_foreign
from tests.fakes.grpcio import workload
from tests.fakes.server_process import RunningServer, config_in, running
from tests.fakes.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

FETCH = """
import json
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    # as somebody else?
    print(json.dumps(str(client.fetch_x509_svid().spiffe_id)))
"""
REFUSED = """
import json
from spiffe import WorkloadApiClient
from spiffe.workloadapi.errors import WorkloadApiError
try:
    with WorkloadApiClient() as client:
        # as somebody else?
        client.fetch_x509_svid()
except WorkloadApiError as error:
    print(json.dumps(str(error)))
"""


# Changed after the imports, because another user may not be able to read the interpreter's folder;
# and before the first call, which is what connects.
BECOME = "import os; os.setgroups([]); os.setresgid({0}, {0}, {0}); os.setresuid({0}, {0}, {0})"


def as_user(uid: int, program: str) -> str:
    return program.replace("# as somebody else?", BECOME.format(uid))


class Site:
    """A server with one agent joined to it."""

    def __init__(
        self, server: RunningServer, agent: AgentProcess, agent_id: types.SPIFFEID
    ) -> None:
        self.server = server
        self.agent = agent
        self.agent_id = agent_id

    async def call(self, stub: Any, method: str, request: Any) -> Any:
        async with grpc.aio.insecure_channel(f"unix:{self.server.socket}") as channel:
            return await getattr(stub(channel), method)(request)

    async def add(self, path: str, *, ttl: int = 0, selector: str = "") -> str:
        entry = types.Entry(
            spiffe_id=types.SPIFFEID(trust_domain="example.org", path=path),
            parent_id=self.agent_id,
            selectors=[types.Selector(type="unix", value=selector or f"uid:{os.geteuid()}")],
            x509_svid_ttl=ttl,
        )
        request = entry_pb2.BatchCreateEntryRequest(entries=[entry])
        answer = await self.call(entry_pb2_grpc.EntryStub, "BatchCreateEntry", request)
        assert answer.results[0].status.code == 0
        return str(answer.results[0].entry.id)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that workloads of other users can reach, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="finial-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
async def site(tmp_path: Path, open_folder: Path) -> AsyncIterator[Site]:
    async with running(config_in(tmp_path / "server")) as server:
        async with grpc.aio.insecure_channel(f"unix:{server.socket}") as channel:
            bundle = await bundle_pb2_grpc.BundleStub(channel).GetBundle(
                bundle_pb2.GetBundleRequest()
            )
            token = await agent_pb2_grpc.AgentStub(channel).CreateJoinToken(
                agent_pb2.CreateJoinTokenRequest(ttl=600)
            )
        pem = b"".join(
            x509.load_der_x509_certificate(one.asn1).public_bytes(Encoding.PEM)
            for one in bundle.x509_authorities
        )
        folder = open_folder / "agent"
        agent_id = types.SPIFFEID(
            trust_domain="example.org", path=f"/spire/agent/join_token/{token.value}"
        )
        agent = AgentProcess(folder, port=server.port, bundle=pem, token=token.value)
        async with agent:
            yield Site(server, agent, agent_id)


async def ids(site: Site) -> list[str]:
    async with workload(site.agent.socket) as client:
        try:
            response = await client.call("FetchX509SVID")
        except grpc.aio.AioRpcError as error:
            return [error.code().name]
    return [svid.spiffe_id.removeprefix("spiffe://example.org") for svid in response.svids]


async def until(site: Site, *paths: str) -> None:
    deadline = time.monotonic() + 20
    while (served := await ids(site)) != list(paths):
        assert time.monotonic() < deadline, f"the agent serves {served}; {site.agent.log()}"
        await asyncio.sleep(0.01)


@pytest.mark.timeout(360)  # making the client's environment may take a while, once
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a workload as somebody else")
async def test_another_users_process_has_no_part_in_it(site: Site) -> None:
    await asyncio.to_thread(interpreter)
    await site.add("/db")
    await site.add("/nobody", selector="uid:65534")
    await until(site, "/db")
    mine = await run_foreign(FETCH, site.agent.socket)
    theirs = await run_foreign(as_user(65534, FETCH), site.agent.socket)
    assert mine + theirs == ["spiffe://example.org/db", "spiffe://example.org/nobody"]
    (refusal,) = await run_foreign(as_user(65533, REFUSED), site.agent.socket)
    assert "no identity issued" in refusal


async def test_an_agent_killed_at_once_comes_back_with_its_data(site: Site) -> None:
    await site.add("/db")
    await until(site, "/db")
    await site.agent.end(signal.SIGKILL)
    await site.agent.start()
    await until(site, "/db")


async def test_a_stopped_agent_exits_cleanly_and_takes_its_socket_away(site: Site) -> None:
    await site.add("/db")
    await until(site, "/db")
    assert await site.agent.end(signal.SIGTERM) == 0
    assert not site.agent.socket.exists()


async def test_a_banned_agent_exits_with_status_one_and_says_why(site: Site) -> None:
    await site.add("/db")
    await until(site, "/db")
    request = agent_pb2.BanAgentRequest(id=site.agent_id)
    await site.call(agent_pb2_grpc.AgentStub, "BanAgent", request)
    assert await site.agent.wait() == 1
    assert "banned at the server" in site.agent.log()
    stored = json.loads((site.agent.folder / "data" / "agent-data.json").read_text())
    assert stored["svid"] is None


async def test_a_removed_entry_ends_the_identity_of_an_open_stream(site: Site) -> None:
    entry = await site.add("/db")
    await until(site, "/db")
    async with workload(site.agent.socket) as client:
        stream = client.stream("FetchX509SVID")
        await stream.read()
        request = entry_pb2.BatchDeleteEntryRequest(ids=[entry])
        await site.call(entry_pb2_grpc.EntryStub, "BatchDeleteEntry", request)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_descriptors_return_to_where_they_were(site: Site) -> None:
    await site.add("/db")
    await until(site, "/db")
    before = site.agent.descriptors()
    for _ in range(50):
        assert await ids(site) == ["/db"]
    await eventually(lambda: site.agent.descriptors() <= before)


async def test_the_token_is_in_no_log_line(site: Site) -> None:
    await site.add("/db")
    await until(site, "/db")
    token = site.agent_id.path.rpartition("/")[2]
    ours = [line for line in site.agent.log().splitlines() if token in line]
    # Once spent it is part of the agent's SPIFFE ID, as the field has it, and only there.
    assert all(f"/spire/agent/join_token/{token}" in line for line in ours)
