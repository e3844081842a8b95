"""Who a call is from is decided by its connection's certificate, call by call, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from h2.events import ResponseReceived, TrailersReceived

from finial.api.spire.server import agent_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.runtime.rpc import RpcError, TlsIdentity
from finial.server.api.authorization import TABLE, CallerKind
from finial.server.registry.model import Agent
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import FakeCa
from tests.fakes.server_api import ADMIN_ID
from tests.fakes.waiting import eventually
from tests.runtime.rpc.wire import Wire
from tests.threats.test_rights_during_calls import ban, open_stream, post_status
from tests.threats.test_sessions import VERSIONS, client_context

if TYPE_CHECKING:
    from finial.runtime.rpc import Channel
    from tests.fakes.server_api import ApiLab, Attested
    from tests.threats.conftest import Told

OF_AGENTS = [method for method, kinds in TABLE.items() if CallerKind.AGENT in kinds]
OF_OPERATORS = [method for method, kinds in TABLE.items() if CallerKind.ADMIN in kinds]
OF_DOWNSTREAMS = [method for method, kinds in TABLE.items() if CallerKind.DOWNSTREAM in kinds]
NOT_FOR_ANYBODY = [method for method, kinds in TABLE.items() if CallerKind.ANY not in kinds]
ON_THE_SOCKET_ONLY = [method for method, kinds in TABLE.items() if kinds == {CallerKind.LOCAL}]
POST_STATUS = "/spire.api.server.agent.v1.Agent/PostStatus"


async def refusal(channel: Channel, method: str) -> RpcError:
    """How a call with an empty message is refused: before the message is even looked at."""
    with pytest.raises(RpcError) as refused:
        await channel.unary_unary(method)(b"", timeout=10)
    return refused.value


async def denied(channel: Channel, method: str) -> None:
    error = await refusal(channel, method)
    if method in ON_THE_SOCKET_ONLY:  # which is not even served here
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        return
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert error.details() == f"authorization denied for method {method}"


# -- what a caller is, by its certificate ----------------------------------------------------


async def test_without_a_certificate_everything_but_joining_and_the_bundle_is_refused(
    lab: ApiLab, told: Told
) -> None:
    assert len(NOT_FOR_ANYBODY) == len(TABLE) - 2
    for method in NOT_FOR_ANYBODY:
        await denied(lab.anonymous, method)
    lines = told("call finished")
    assert {line["method"] for line in lines} == set(NOT_FOR_ANYBODY) - set(ON_THE_SOCKET_ONLY)
    for line in lines:
        assert line["caller"].startswith("ipv4:127.0.0.1:")
        assert line["error"].endswith("(no certificate)")


async def test_a_workload_calls_nothing_of_agents_operators_or_downstreams(lab: ApiLab) -> None:
    workload = lab.connect(lab.ca.issue("spiffe://example.org/web"))
    for method in NOT_FOR_ANYBODY:
        await denied(workload, method)


async def test_the_server_itself_is_no_administrator_over_its_own_port(lab: ApiLab) -> None:
    server = lab.connect(lab.server_svid)
    for method in NOT_FOR_ANYBODY:
        await denied(server, method)


async def test_an_agent_calls_nothing_of_operators_or_downstreams(lab: ApiLab) -> None:
    agent = await lab.attest()
    for method in {*OF_OPERATORS, *OF_DOWNSTREAMS} - set(OF_AGENTS):
        await denied(agent.channel, method)


async def test_an_administrator_calls_nothing_of_agents(lab: ApiLab) -> None:
    admin = lab.connect(lab.ca.issue(ADMIN_ID))
    for method in set(OF_AGENTS) - set(OF_OPERATORS):
        await denied(admin, method)


async def test_a_name_like_the_agents_in_another_trust_domain_is_not_the_agent(
    lab: ApiLab,
) -> None:
    """With the foreign bundle known, so that the certificate proves its ID; it has no right."""
    other = FakeCa("other.org")
    await lab.bundles.put(other.bundle())
    agent = await lab.attest()
    foreign = other.issue(f"spiffe://other.org{agent.id.path}", serial=agent.svid.serial)
    for path in (agent.id.path, ADMIN_ID.path):
        channel = lab.connect(other.issue(f"spiffe://other.org{path}"))
        for method in NOT_FOR_ANYBODY:
            await denied(channel, method)
    for method in NOT_FOR_ANYBODY:
        await denied(lab.connect(foreign), method)


async def test_a_serial_of_another_agents_does_not_help(lab: ApiLab) -> None:
    agent = await lab.attest()
    twin = "spiffe://example.org/spire/agent/join_token/twin"
    record = Agent(
        id=SpiffeId(twin),
        attestation_type="join_token",
        serial_number="77",
        expires_at=int(lab.clock.time()) + 3600,
    )
    await lab.agents.upsert_attested(record)
    await lab.reader.caught_up()
    error = await refusal(lab.connect(lab.ca.issue(twin, serial=agent.svid.serial)), POST_STATUS)
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


# -- and by nothing else ---------------------------------------------------------------------

SPOOFS: dict[str, tuple[tuple[str, str], ...]] = {
    "forwarded": (
        ("forwarded", "for=127.0.0.1;proto=https"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-host", "localhost"),
    ),
    "client certificate": (
        ("x-forwarded-client-cert", f"By=spiffe://example.org/spire/server;URI={ADMIN_ID}"),
        ("x-client-cert", "admin"),
        ("ssl-client-verify", "SUCCESS"),
        ("ssl-client-s-dn", f"URI={ADMIN_ID}"),
    ),
    "identity": (
        ("x-spiffe-id", str(ADMIN_ID)),
        ("x-remote-user", "root"),
        ("authorization", "Bearer admin"),
        ("workload.spiffe.io", "true"),
        ("x-correlation-id", "mine"),
    ),
}


@pytest.mark.parametrize("name", SPOOFS)
async def test_what_a_caller_says_of_itself_counts_for_nothing(
    lab: ApiLab, told: Told, name: str
) -> None:
    workload = lab.connect(lab.ca.issue("spiffe://example.org/web"))
    for channel, known_as in ((lab.anonymous, "ipv4:"), (workload, "spiffe://example.org/web")):
        for method in (POST_STATUS, "/spire.api.server.entry.v1.Entry/ListEntries"):
            call = channel.unary_unary(method)
            with pytest.raises(RpcError, match="authorization denied"):
                await call(b"", metadata=SPOOFS[name])
            line = told("call finished")[-1]
            assert line["caller"].startswith(known_as)
            assert "mine" not in line["correlation_id"]


@pytest.mark.parametrize(
    "fields",
    [
        {"authority": str(ADMIN_ID).encode()},
        {"authority": b"localhost", "host": b"spire-server"},
        {"authority": b"unix:/run/spire/api.sock"},
        {"authority": None, "host": b"localhost"},
        {"scheme": b"unix"},
        {"path": POST_STATUS.encode() + b"?admin=true"},
        {"path": b"/" + POST_STATUS.encode()},
        {"path": b"http://localhost" + POST_STATUS.encode()},
        {"path": POST_STATUS.lower().encode()},
        {"path": POST_STATUS.replace("/PostStatus", "%2FPostStatus").encode()},
    ],
    ids=str,
)
async def test_no_authority_host_or_spelling_of_the_path_gets_a_stranger_further(
    lab: ApiLab, fields: dict[str, bytes | None]
) -> None:
    honest: dict[str, bytes | None] = {"path": POST_STATUS.encode()}
    status = await status_by_hand(lab, honest | fields)
    denied, unknown = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED
    assert status in {denied.value[0], unknown.value[0], None}


async def status_by_hand(lab: ApiLab, fields: dict[str, Any]) -> int | None:
    """Call with header fields that no library would send, as a workload.

    None: the server took them for no request at all, and closed (RFC 9113 section 8.3.1).
    """
    context = client_context(VERSIONS[1], lab.ca.issue("spiffe://example.org/web"))
    wire = Wire(*await asyncio.open_connection("127.0.0.1", lab.port, ssl=context))
    wire.h2.initiate_connection()
    wire.flush()
    stream = wire.call(b"", **fields)
    try:
        answer: Any = await wire.until(ResponseReceived, stream_id=stream)
    except EOFError:
        return None
    headers = dict(answer.headers)
    if b"grpc-status" not in headers and not answer.stream_ended:
        trailers: Any = await wire.until(TrailersReceived, stream_id=stream)
        headers |= dict(trailers.headers)
    wire.close()
    return int(headers[b"grpc-status"])


# -- one connection, one identity ------------------------------------------------------------


async def test_a_call_keeps_the_identity_that_it_began_with_when_the_client_changes_its_own(
    lab: ApiLab, told: Told
) -> None:
    first, second = await lab.attest(), await lab.attest()
    channel = first.channel
    stream = await open_stream(lab, channel, first.id)
    present(channel, second)
    channel.reconnect()
    await post_status(channel)
    assert told("call finished")[-1]["caller"] == second.id.uri
    await ban(lab, first)
    with pytest.raises(RpcError) as ended:
        await stream.read()
    assert ended.value.code() is grpc.StatusCode.PERMISSION_DENIED
    await eventually(lambda: told("call finished")[-1]["caller"] != second.id.uri)
    await post_status(channel)


def present(channel: Channel, agent: Attested) -> None:
    """Connect as another agent from now on."""
    assert channel._tls is not None
    identity = TlsIdentity(agent.svid.chain, agent.svid.key_pkcs8)
    channel._tls._identity = lambda: identity


async def test_calls_side_by_side_on_two_connections_are_two_callers(lab: ApiLab) -> None:
    agents = [await lab.attest() for _ in range(4)]
    await ban(lab, agents[0])
    request = agent_pb2.PostStatusRequest(agent_version="1")
    calls = [AgentStub(each.channel).PostStatus(request) for each in agents * 2]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(each, RpcError) for each in outcomes] == [True, False, False, False] * 2
