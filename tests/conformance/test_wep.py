"""SPIFFE Workload Endpoint: the rows of the conformance checklist that bind the endpoint."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from finial.api.grpc import health_pb2
from finial.api.workload import workload_pb2 as pb
from finial.runtime.clock import SystemClock
from tests.fakes.grpcio import HEADER, METHODS, Workload, workload
from tests.fakes.server import FakeServer
from tests.fakes.workload import MY_UID, RunningAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ARGUMENTS: dict[str, dict[str, Any]] = {
    "FetchJWTSVID": {"audience": ["a"]},
    "ValidateJWTSVID": {"audience": "a", "svid": "x"},
}
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer(SystemClock())
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def agent(tmp_path: Path, server: FakeServer) -> AsyncIterator[RunningAgent]:
    server.add_entry("e1", "/w", MY_UID)
    token = server.add_token()
    async with RunningAgent(tmp_path, server, clock=server.clock, token=token) as running:
        await running.fetch()
        yield running


@pytest.fixture
async def client(agent: RunningAgent) -> AsyncIterator[Workload]:
    async with workload(agent.socket) as connected:
        yield connected


async def test_WEP_01_the_endpoint_is_a_unix_socket_open_to_every_local_user(
    agent: RunningAgent,
) -> None:
    assert stat.S_ISSOCK(agent.socket.stat().st_mode)
    assert stat.S_IMODE(agent.socket.stat().st_mode) == 0o777
    assert stat.S_IMODE(agent.socket.parent.stat().st_mode) & 0o755 == 0o755


async def test_WEP_02_a_stock_grpc_client_is_served(client: Workload) -> None:
    response = await client.call("FetchX509SVID")
    assert response.svids[0].spiffe_id == "spiffe://example.org/w"


async def test_WEP_03_no_tcp_port_is_opened(agent: RunningAgent, server: FakeServer) -> None:
    assert agent.socket.exists()
    assert listening_ports() == {server.port}  # the fake server's own, in the same process


def listening_ports() -> set[int]:
    mine = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            mine.add(str(link.readlink()))
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {
        int(fields[1].rpartition(":")[2], 16)
        for fields in lines
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in mine
    }


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("workload.spiffe.io", "True"),),
        (("workload.spiffe.io", "TRUE"),),
        (("workload.spiffe.io", "1"),),
        (("workload.spiffe.io", ""),),
        (("workload.spiffe.io", "true,true"),),
        HEADER * 2,
        (*HEADER, ("workload.spiffe.io", "false")),
        (("x-workload.spiffe.io", "true"),),
    ],
)
async def test_WEP_05_without_the_security_header_every_method_refuses(
    client: Workload, metadata: Any
) -> None:
    for method in METHODS:
        code, message = await client.refused(method, metadata, **ARGUMENTS.get(method, {}))
        assert code is grpc.StatusCode.INVALID_ARGUMENT, method
        assert message == "security header missing from request"


async def test_WEP_05_the_header_is_judged_before_the_arguments(client: Workload) -> None:
    _, message = await client.refused("FetchJWTSVID", ())
    assert message == "security header missing from request"


async def test_WEP_05_health_needs_no_header(client: Workload) -> None:
    check = client.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    assert (await check(health_pb2.HealthCheckRequest())).status == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(health_pb2.HealthCheckRequest(service="x"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_WEP_06_and_07_plaintext_without_credentials_is_enough(client: Workload) -> None:
    # The client connected with grpc.aio.insecure_channel and sent no token.
    assert (await client.call("FetchX509SVID")).svids


async def test_WEP_08_the_caller_is_known_by_the_kernels_word_on_it(
    tmp_path: Path, server: FakeServer
) -> None:
    server.add_entry("e1", "/mine", MY_UID)
    server.add_entry("e2", "/others", f"unix:uid:{os.geteuid() + 1}")
    server.add_entry("e3", "/nearly", MY_UID, f"unix:gid:{os.getegid() + 1}")
    token = server.add_token()
    async with RunningAgent(tmp_path, server, clock=server.clock, token=token) as running:
        served = await running.fetch()
    assert [svid.spiffe_id for svid in served.svids] == ["spiffe://example.org/mine"]


async def test_WEP_14_an_agent_without_its_server_is_unavailable(
    tmp_path: Path, server: FakeServer
) -> None:
    token = server.add_token()
    await server.stop()
    async with RunningAgent(tmp_path, server, clock=server.clock, token=token) as running:
        await running.stub()
        async with workload(running.socket) as client:
            for method in ("FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"):
                assert (await client.refused(method))[0] is grpc.StatusCode.UNAVAILABLE
            for method, arguments in ARGUMENTS.items():
                code, _ = await client.refused(method, **arguments)
                assert code is grpc.StatusCode.UNAVAILABLE
            # Arguments are judged first, and a refusal is for good where Unavailable is not.
            code, _ = await client.refused("FetchJWTSVID")
            assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "method", ["FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles", "FetchJWTSVID"]
)
async def test_WEP_16_a_caller_without_an_identity_is_denied(
    tmp_path: Path, server: FakeServer, method: str
) -> None:
    server.add_entry("e1", "/w", "unix:uid:4242")
    async with RunningAgent(
        tmp_path, server, clock=server.clock, token=server.add_token()
    ) as running:
        await running.stub()
        async with workload(running.socket) as client:
            answer = await client.refused(method, **ARGUMENTS.get(method, {}))
    assert answer == (grpc.StatusCode.PERMISSION_DENIED, "no identity issued")


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("FetchWITSVID", "fetching WIT-SVIDs is not implemented"),
        ("FetchWITBundles", "fetching WIT bundles is not implemented"),
    ],
)
async def test_WEP_17_and_WL_02_what_is_not_served_is_unimplemented(
    client: Workload, method: str, text: str
) -> None:
    assert await client.refused(method) == (grpc.StatusCode.UNIMPLEMENTED, text)


async def test_WEP_17_an_unknown_method_is_unimplemented(client: Workload) -> None:
    call: Any = client.channel.unary_unary("/SpiffeWorkloadAPI/FetchAll")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", metadata=HEADER)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_WEP_18_the_service_is_the_published_one_and_no_more() -> None:
    service = pb.DESCRIPTOR.services_by_name["SpiffeWorkloadAPI"]
    assert service.full_name == "SpiffeWorkloadAPI"
    assert {method.name for method in service.methods} == set(METHODS)
    fields = {
        message.name: {field.name: field.number for field in message.fields}
        for message in pb.DESCRIPTOR.message_types_by_name.values()
    }
    assert fields["X509SVID"] == {
        "spiffe_id": 1,
        "x509_svid": 2,
        "x509_svid_key": 3,
        "bundle": 4,
        "hint": 5,
    }
    assert fields["X509SVIDResponse"] == {"svids": 1, "crl": 2, "federated_bundles": 3}
    assert fields["JWTSVIDRequest"] == {"audience": 1, "spiffe_id": 2}
    assert fields["JWTSVID"] == {"spiffe_id": 1, "svid": 2, "hint": 3}
    assert fields["ValidateJWTSVIDRequest"] == {"audience": 1, "svid": 2}
    assert fields["ValidateJWTSVIDResponse"] == {"spiffe_id": 1, "claims": 2}
    assert fields["X509BundlesResponse"] == {"crl": 1, "bundles": 2}
    assert fields["JWTBundlesResponse"] == {"bundles": 1}


async def test_garbage_on_the_socket_disturbs_nobody(agent: RunningAgent, client: Workload) -> None:
    stream = client.stream("FetchX509SVID")
    assert (await stream.read()).svids
    rubbish = []
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64, HTTP2_PREFACE + b"\xff" * 4096, b""):
        one = socket.socket(socket.AF_UNIX)
        one.connect(str(agent.socket))
        one.send(data)
        rubbish.append(one)
    assert (await client.call("FetchX509SVID")).svids
    for one in rubbish:
        one.close()
    assert (await client.call("FetchX509SVID")).svids
    stream.cancel()
