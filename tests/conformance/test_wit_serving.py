"""Workload API: the WIT profile, and what server reflection tells of the endpoint."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import grpc
import jwt as pyjwt
import pytest

from finial.api.grpc import reflection_pb2 as pb
from finial.api.spire import types_pb2 as types
from finial.api.workload import workload_pb2_grpc
from finial.runtime.clock import SystemClock
from tests.fakes.grpcio import METHODS, SERVICE, Workload, workload
from tests.fakes.server import FakeServer
from tests.fakes.wit import FakeWit
from tests.fakes.workload import MY_UID, RunningAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TD = "spiffe://example.org"
BOTH = ("FetchWITSVID", "FetchWITBundles")
FAST = '{ sync_interval = "30ms", feature_flags = ["wit-svid"] }'
SOON = 8.0
DENIED = (grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
UNIMPLEMENTED = {
    "FetchWITSVID": (grpc.StatusCode.UNIMPLEMENTED, "fetching WIT-SVIDs is not implemented"),
    "FetchWITBundles": (grpc.StatusCode.UNIMPLEMENTED, "fetching WIT bundles is not implemented"),
}


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer(SystemClock())
    fake.wit = FakeWit()
    fake.add_entry("e1", "/w", MY_UID)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def experimental() -> str:
    return FAST


@pytest.fixture
async def agent(
    tmp_path: Path, server: FakeServer, experimental: str
) -> AsyncIterator[RunningAgent]:
    running = RunningAgent(
        tmp_path,
        server,
        clock=server.clock,
        token=server.add_token(),
        experimental=experimental,
    )
    async with running:
        await running.fetch()
        yield running


@pytest.fixture
async def client(agent: RunningAgent) -> AsyncIterator[Workload]:
    async with workload(agent.socket) as connected:
        yield connected


def ids(response: Any) -> list[str]:
    return [svid.spiffe_id.removeprefix(TD) for svid in response.svids]


async def fetched(client: Workload, count: int, **fields: Any) -> Any:
    """The first message of a stream that has so many SVIDs."""
    stream = client.stream("FetchWITSVID", **fields)
    message: Any = None
    try:
        async with asyncio.timeout(SOON):
            while message is None or len(message.svids) != count:
                message = await stream.read()
    except TimeoutError:
        raise AssertionError(f"never had {count} SVIDs, and last {message}") from None
    finally:
        stream.cancel()
    return message


# -- the profile as a whole ----------------------------------------------------------------


@pytest.mark.parametrize("experimental", ['{ sync_interval = "30ms" }'])
@pytest.mark.parametrize("method", BOTH)
async def test_WL_02_and_WEP_17_switched_off_the_whole_profile_is_unimplemented(
    client: Workload, method: str
) -> None:
    assert await client.refused(method) == UNIMPLEMENTED[method]


@pytest.mark.parametrize("method", BOTH)
async def test_WL_02_and_WEP_17_so_it_is_with_a_server_that_does_not_have_it(
    tmp_path: Path, server: FakeServer, method: str
) -> None:
    server.wit = None
    running = RunningAgent(
        tmp_path, server, clock=server.clock, token=server.add_token(), experimental=FAST
    )
    async with running:
        await running.fetch()
        async with workload(running.socket) as client:
            assert await client.refused(method) == UNIMPLEMENTED[method]
            server.entries.clear()  # also for who would be denied otherwise
            assert await client.refused(method) == UNIMPLEMENTED[method]


async def test_WL_02_switched_on_both_calls_are_answered(client: Workload) -> None:
    assert (await client.call("FetchWITSVID")).svids
    assert (await client.call("FetchWITBundles")).bundles


# -- SVIDs ---------------------------------------------------------------------------------


async def test_WL_33_without_an_id_all_identities_are_served_with_every_field(
    client: Workload, server: FakeServer
) -> None:
    server.add_entry("e2", "/x", MY_UID, hint="outside")
    message = await fetched(client, 2)
    assert ids(message) == ["/w", "/x"]
    assert [svid.hint for svid in message.svids] == ["", "outside"]
    for svid in message.svids:
        claims = pyjwt.decode(svid.wit_svid, options={"verify_signature": False})
        assert claims["sub"] == svid.spiffe_id
        private = json.loads(svid.wit_svid_key)
        confirmed = pyjwt.PyJWK(claims["cnf"]["jwk"])
        assert pyjwt.PyJWK(private).key.public_key() == confirmed.key
        assert private["alg"] == claims["cnf"]["jwk"]["alg"]


async def test_WL_33_with_an_id_only_that_identity_is_served(
    client: Workload, server: FakeServer
) -> None:
    server.add_entry("e2", "/x", MY_UID)
    await fetched(client, 2)
    assert ids(await client.call("FetchWITSVID", spiffe_id=f"{TD}/x")) == ["/x"]


async def test_WL_33_who_is_not_entitled_is_denied_at_once_and_in_the_midst(
    client: Workload, server: FakeServer
) -> None:
    assert await client.refused("FetchWITSVID", spiffe_id=f"{TD}/other") == DENIED
    stream = client.stream("FetchWITSVID")
    assert ids(await stream.read()) == ["/w"]
    server.entries.clear()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await stream.read()
    assert (ended.value.code(), ended.value.details()) == DENIED
    assert await client.refused("FetchWITSVID") == DENIED


async def test_WL_33_no_hint_is_served_twice(client: Workload, server: FakeServer) -> None:
    server.add_entry("e2", "/young", MY_UID, hint="db", created_at=200)
    server.add_entry("e3", "/old", MY_UID, hint="db", created_at=100)
    message = await fetched(client, 2)
    assert ids(message) == ["/w", "/old"]
    assert [svid.hint for svid in message.svids] == ["", "db"]


@pytest.mark.parametrize("text", ["x", "https://example.org/w", TD + "/w/"])
async def test_WL_33_a_malformed_id_is_an_invalid_argument(client: Workload, text: str) -> None:
    code, message = await client.refused("FetchWITSVID", spiffe_id=text)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("invalid requested SPIFFE ID: ")


# -- bundles -------------------------------------------------------------------------------


async def test_WL_34_the_own_bundle_is_served_each_key_with_its_id(
    client: Workload, server: FakeServer
) -> None:
    message = await client.call("FetchWITBundles")
    assert set(message.bundles) == {TD}
    token = (await client.call("FetchWITSVID")).svids[0].wit_svid
    (key,) = json.loads(message.bundles[TD])["keys"]
    assert key["kid"] == pyjwt.get_unverified_header(token)["kid"] == server_key(server).key_id
    pyjwt.decode(token, pyjwt.PyJWK(key), algorithms=["ES256"])


def server_key(server: FakeServer) -> FakeWit:
    assert server.wit is not None
    return server.wit


async def test_WL_34_so_are_those_that_the_caller_federates_with_and_changes_are_told(
    client: Workload, server: FakeServer
) -> None:
    stream = client.stream("FetchWITBundles")
    await stream.read()
    other = FakeWit("other.org", key_id="other-key").authority
    server.federated["other.org"] = types.Bundle(
        trust_domain="other.org",
        wit_authorities=[types.WITKey(public_key=other.spki_der, key_id="other-key")],
    )
    server.add_entry("e1", "/w", MY_UID, federates_with=["other.org"])
    async with asyncio.timeout(SOON):
        message = await stream.read()
    assert set(message.bundles) == {TD, "spiffe://other.org"}
    (key,) = json.loads(message.bundles["spiffe://other.org"])["keys"]
    assert key["kid"] == "other-key"
    stream.cancel()


async def test_WL_34_no_keys_of_other_uses_are_in_them(
    client: Workload, server: FakeServer
) -> None:
    wit = json.loads((await client.call("FetchWITBundles")).bundles[TD])
    jwt = json.loads((await client.call("FetchJWTBundles")).bundles[TD])
    assert [key["kid"] for key in wit["keys"]] == [server_key(server).key_id]
    assert server_key(server).key_id not in {key["kid"] for key in jwt["keys"]}


# -- the endpoint as reflection shows it -----------------------------------------------------

ASK = """
import json, sys
import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

database = ProtoReflectionDescriptorDatabase(grpc.insecure_channel(sys.argv[1]))
pool = DescriptorPool(database)
service = pool.FindServiceByName("SpiffeWorkloadAPI")
KINDS = {1: "double", 9: "string", 11: "message", 12: "bytes"}


def shown(field):
    kind = KINDS[field.type]
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        kind = "map of " + KINDS[field.message_type.fields_by_name["value"].type]
    elif field.message_type is not None:
        kind = field.message_type.full_name
    return [field.number, kind, field.is_repeated]


print(json.dumps({
    "services": sorted(database.get_services()),
    "methods": {
        method.name: [
            method.input_type.name,
            method.output_type.name,
            method.client_streaming,
            method.server_streaming,
        ]
        for method in service.methods
    },
    "messages": {
        name: {field.name: shown(field) for field in message.fields}
        for name, message in service.file.message_types_by_name.items()
    },
}))
"""


@pytest.fixture
async def told(agent: RunningAgent) -> dict[str, Any]:
    """What grpcio's own reflection client learns; a process apart, with no protos of ours."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        ASK,
        f"unix:{agent.socket}",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await program.communicate()
    assert program.returncode == 0, err.decode()
    found: dict[str, Any] = json.loads(out)
    return found


async def test_WEP_19_the_workload_api_is_exposed(told: dict[str, Any]) -> None:
    assert "SpiffeWorkloadAPI" in told["services"]


async def test_WEP_20_reflection_needs_no_header_and_lists_what_is_served(
    told: dict[str, Any],
) -> None:
    assert told["services"] == [
        "SpiffeWorkloadAPI",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]


async def test_WEP_20_reflection_answers_by_its_new_name_as_well(client: Workload) -> None:
    asking = pb.ServerReflectionRequest
    call = client.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        pb.ServerReflectionRequest.SerializeToString,
        pb.ServerReflectionResponse.FromString,
    )()
    for question, answer in (
        (asking(list_services=""), "list_services_response"),
        (asking(file_containing_symbol="no.Such"), "error_response"),
        (asking(file_containing_symbol="SpiffeWorkloadAPI"), "file_descriptor_response"),
    ):
        await call.write(question)
        answered: Any = await call.read()
        assert answered.WhichOneof("message_response") == answer
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


# The published service and its messages: field -> number, kind, whether repeated.
PUBLISHED = {
    "FetchX509SVID": ["X509SVIDRequest", "X509SVIDResponse", False, True],
    "FetchX509Bundles": ["X509BundlesRequest", "X509BundlesResponse", False, True],
    "FetchJWTSVID": ["JWTSVIDRequest", "JWTSVIDResponse", False, False],
    "FetchJWTBundles": ["JWTBundlesRequest", "JWTBundlesResponse", False, True],
    "ValidateJWTSVID": ["ValidateJWTSVIDRequest", "ValidateJWTSVIDResponse", False, False],
    "FetchWITSVID": ["WITSVIDRequest", "WITSVIDResponse", False, True],
    "FetchWITBundles": ["WITBundlesRequest", "WITBundlesResponse", False, True],
}
STRUCT = "google.protobuf.Struct"
MESSAGES = {
    "X509SVIDRequest": {},
    "X509SVIDResponse": {
        "svids": [1, "X509SVID", True],
        "crl": [2, "bytes", True],
        "federated_bundles": [3, "map of bytes", True],
    },
    "X509SVID": {
        "spiffe_id": [1, "string", False],
        "x509_svid": [2, "bytes", False],
        "x509_svid_key": [3, "bytes", False],
        "bundle": [4, "bytes", False],
        "hint": [5, "string", False],
    },
    "X509BundlesRequest": {},
    "X509BundlesResponse": {"crl": [1, "bytes", True], "bundles": [2, "map of bytes", True]},
    "JWTSVIDRequest": {"audience": [1, "string", True], "spiffe_id": [2, "string", False]},
    "JWTSVIDResponse": {"svids": [1, "JWTSVID", True]},
    "JWTSVID": {
        "spiffe_id": [1, "string", False],
        "svid": [2, "string", False],
        "hint": [3, "string", False],
    },
    "JWTBundlesRequest": {},
    "JWTBundlesResponse": {"bundles": [1, "map of bytes", True]},
    "ValidateJWTSVIDRequest": {"audience": [1, "string", False], "svid": [2, "string", False]},
    "ValidateJWTSVIDResponse": {"spiffe_id": [1, "string", False], "claims": [2, STRUCT, False]},
    "WITSVIDRequest": {"spiffe_id": [1, "string", False]},
    "WITSVIDResponse": {"svids": [1, "WITSVID", True]},
    "WITSVID": {
        "spiffe_id": [1, "string", False],
        "wit_svid": [2, "string", False],
        "wit_svid_key": [3, "string", False],
        "hint": [4, "string", False],
    },
    "WITBundlesRequest": {},
    "WITBundlesResponse": {"bundles": [1, "map of string", True]},
}


async def test_WEP_18_the_service_is_described_as_it_is_published(told: dict[str, Any]) -> None:
    assert told["methods"] == PUBLISHED
    assert told["messages"] == MESSAGES
    assert set(PUBLISHED) == set(METHODS)


class Registered:
    """What generated code registers at a server, by full name."""

    def __init__(self) -> None:
        self.methods: set[str] = set()

    def add_generic_rpc_handlers(self, handlers: Any) -> None: ...

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        self.methods |= {f"/{service}/{name}" for name in handlers}


def test_WEP_18_no_method_is_served_beside_those() -> None:
    registered: Any = Registered()
    workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(
        workload_pb2_grpc.SpiffeWorkloadAPIServicer(), registered
    )
    assert registered.methods == {f"{SERVICE}{name}" for name in PUBLISHED}
