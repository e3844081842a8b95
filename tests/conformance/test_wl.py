"""SPIFFE Workload API: the rows of the conformance checklist that bind the endpoint."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from finial.api.spire import types_pb2 as types
from finial.runtime.clock import SystemClock
from finial.runtime.rpc import StatusError
from finial.spiffe import jwt_svid
from finial.spiffe.x509_svid import split_certificates, verify_chain
from tests.fakes.ca import FakeCa
from tests.fakes.grpcio import Workload, workload
from tests.fakes.server import FakeServer
from tests.fakes.waiting import eventually
from tests.fakes.workload import MY_UID, RunningAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TD = "spiffe://example.org"
PATIENCE = 5.0
FAST = '{ sync_interval = "30ms" }'


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer(SystemClock())
    fake.add_entry("e1", "/w", MY_UID)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def other(server: FakeServer) -> FakeCa:
    return federated(server, "other.org")


def federated(server: FakeServer, name: str) -> FakeCa:
    """Let the server know the bundle of another trust domain."""
    ca = FakeCa(name, now=server.clock.time(), key_id="other-key")
    bundle = ca.bundle()
    server.federated[name] = types.Bundle(
        trust_domain=name,
        x509_authorities=[types.X509Certificate(asn1=ca.der)],
        jwt_authorities=[
            types.JWTKey(public_key=key.spki_der, key_id=key.key_id)
            for key in bundle.jwt_authorities
        ],
    )
    return ca


@pytest.fixture
async def client(tmp_path: Path, server: FakeServer) -> AsyncIterator[Workload]:
    running = RunningAgent(
        tmp_path, server, clock=server.clock, token=server.add_token(), experimental=FAST
    )
    async with running:
        await running.stub()
        async with workload(running.socket) as connected:
            yield connected


async def read(stream: Any) -> Any:
    """Return the next message; one that does not come fails the test soon."""
    async with asyncio.timeout(PATIENCE):
        return await stream.read()


def ids(response: Any) -> list[str]:
    return [svid.spiffe_id.removeprefix(TD) for svid in response.svids]


async def token(client: Workload, audience: str = "a") -> str:
    response = await client.call("FetchJWTSVID", audience=[audience])
    return str(response.svids[0].svid)


async def test_WL_01_both_profiles_are_served(client: Workload) -> None:
    assert (await client.call("FetchX509SVID")).svids
    assert (await client.call("FetchX509Bundles")).bundles
    assert (await client.call("FetchJWTBundles")).bundles
    svid = await token(client)
    assert (await client.call("ValidateJWTSVID", audience="a", svid=svid)).spiffe_id == f"{TD}/w"


async def test_WL_05_and_07_each_message_is_the_whole_state_and_comes_when_it_changes(
    client: Workload, server: FakeServer
) -> None:
    stream = client.stream("FetchX509SVID")
    assert ids(await read(stream)) == ["/w"]
    synced = server.calls["SyncAuthorizedEntries"]
    server.add_entry("e3", "/others", "unix:uid:4242")  # of which nothing is said
    await eventually(lambda: server.calls["SyncAuthorizedEntries"] > synced + 1)
    server.add_entry("e2", "/x", MY_UID)
    assert ids(await read(stream)) == ["/w", "/x"]
    del server.entries["e1"]
    assert ids(await read(stream)) == ["/x"]
    stream.cancel()


async def test_WL_06_the_first_message_is_there_at_once_and_holds_all_identities(
    client: Workload, server: FakeServer
) -> None:
    for number in range(20):
        server.add_entry(f"f{number:02}", f"/f{number:02}", MY_UID)
    stream = client.stream("FetchX509SVID")
    while len(ids(await read(stream))) < 21:
        pass
    again = client.stream("FetchX509SVID")
    assert len(ids(await read(again))) == 21
    again.cancel()
    stream.cancel()


@pytest.mark.parametrize(
    ("method", "arguments", "text"),
    [
        ("FetchJWTSVID", {}, "audience must be specified"),
        ("FetchJWTSVID", {"audience": [""]}, "audience must be specified"),
        ("ValidateJWTSVID", {"svid": "x"}, "audience must be specified"),
        ("ValidateJWTSVID", {"audience": "a"}, "svid must be specified"),
    ],
)
async def test_WL_09_21_and_31_mandatory_fields_are_demanded(
    client: Workload, method: str, arguments: dict[str, Any], text: str
) -> None:
    assert await client.refused(method, **arguments) == (grpc.StatusCode.INVALID_ARGUMENT, text)


async def test_WL_12_13_and_14_every_field_is_filled_in_the_form_of_the_standard(
    client: Workload, server: FakeServer
) -> None:
    response = await client.call("FetchX509SVID")
    [svid] = response.svids
    chain = split_certificates(svid.x509_svid)
    verified = verify_chain(chain, server.ca.bundles(), server.clock.time())
    assert verified.id.uri == svid.spiffe_id == f"{TD}/w"
    key: Any = load_der_private_key(svid.x509_svid_key, password=None)
    assert key.public_key() == x509.load_der_x509_certificate(chain[0]).public_key()
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert svid.x509_svid_key == pkcs8
    assert svid.bundle == server.ca.der


async def test_WL_12_where_no_svid_can_be_had_there_is_no_message(
    client: Workload, server: FakeServer
) -> None:
    failure = StatusError(grpc.StatusCode.UNAVAILABLE, "not now")
    server.lies.failures["BatchNewX509SVID"] = failure
    code, _ = await client.refused("FetchX509SVID")
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_WL_13_intermediates_follow_the_leaf(tmp_path: Path, server: FakeServer) -> None:
    root, server.ca = server.ca, server.ca.intermediate()
    running = RunningAgent(tmp_path, server, clock=server.clock, token=server.add_token())
    (tmp_path / "root.pem").write_bytes(root.bundle().to_pem())
    async with running:
        [svid] = (await running.fetch()).svids
    chain = split_certificates(svid.x509_svid)
    assert len(chain) == 2
    assert verify_chain(chain, root.bundles(), server.clock.time()).id.uri == f"{TD}/w"


async def test_WL_14_federated_bundles_are_keyed_by_trust_domain_id(
    client: Workload, server: FakeServer, other: FakeCa
) -> None:
    server.add_entry("e1", "/w", MY_UID, federates_with=["other.org"])
    server.add_entry("e2", "/x", "unix:uid:4242", federates_with=["third.org"])
    federated(server, "third.org")
    stream = client.stream("FetchX509SVID")
    while not (message := await read(stream)).federated_bundles:
        pass
    assert dict(message.federated_bundles) == {"spiffe://other.org": other.der}
    stream.cancel()


async def test_WL_15_no_hint_is_served_twice(client: Workload, server: FakeServer) -> None:
    server.add_entry("e2", "/young", MY_UID, hint="db", created_at=200)
    server.add_entry("e3", "/old", MY_UID, hint="db", created_at=100)
    server.add_entry("e4", "/plain", MY_UID)
    stream = client.stream("FetchX509SVID")
    while "/old" not in ids(message := await read(stream)):
        pass
    assert ids(message) == ["/w", "/old", "/plain"]
    assert [svid.hint for svid in message.svids] == ["", "db", ""]
    response = await client.call("FetchJWTSVID", audience=["a"])
    assert ids(response) == ["/w", "/old", "/plain"]
    assert [svid.hint for svid in response.svids] == ["", "db", ""]
    stream.cancel()


@pytest.mark.parametrize("method", ["FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"])
async def test_WL_17_20_and_28_who_loses_the_last_identity_is_denied_mid_stream(
    client: Workload, server: FakeServer, method: str
) -> None:
    stream = client.stream(method)
    await read(stream)
    server.entries.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read(stream)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert caught.value.details() == "no identity issued"
    assert (await client.refused("FetchJWTSVID", audience=["a"]))[0] is (
        grpc.StatusCode.PERMISSION_DENIED
    )


async def test_WL_19_x509_bundles_hold_the_own_domain_and_the_federated_ones(
    client: Workload, server: FakeServer, other: FakeCa
) -> None:
    stream = client.stream("FetchX509Bundles")
    assert dict((await read(stream)).bundles) == {TD: server.ca.der}
    server.add_entry("e1", "/w", MY_UID, federates_with=["other.org"])
    assert dict((await read(stream)).bundles) == {
        TD: server.ca.der,
        "spiffe://other.org": other.der,
    }
    stream.cancel()


async def test_WL_20_and_28_where_it_is_allowed_anybody_has_the_own_domains_bundles(
    tmp_path: Path, server: FakeServer, other: FakeCa
) -> None:
    server.add_entry("e1", "/w", "unix:uid:4242", federates_with=["other.org"])
    running = RunningAgent(
        tmp_path,
        server,
        clock=server.clock,
        token=server.add_token(),
        allow_unauthenticated_verifiers="true",
    )
    async with running:
        await running.stub()
        async with workload(running.socket) as client:
            assert dict((await client.call("FetchX509Bundles")).bundles) == {TD: server.ca.der}
            assert set((await client.call("FetchJWTBundles")).bundles) == {TD}
            for method, arguments in (("FetchX509SVID", {}), ("FetchJWTSVID", {"audience": ["a"]})):
                code, _ = await client.refused(method, **arguments)
                assert code is grpc.StatusCode.PERMISSION_DENIED
    assert other.der != server.ca.der


async def test_WL_21_the_audience_is_that_of_the_request(client: Workload) -> None:
    response = await client.call("FetchJWTSVID", audience=["a", "b"])
    parsed = jwt_svid.parse_unverified(response.svids[0].svid)
    assert parsed.audience == ("a", "b")


async def test_WL_22_and_25_without_an_id_there_is_a_token_for_each_identity(
    client: Workload, server: FakeServer
) -> None:
    server.add_entry("e2", "/x", MY_UID)
    stream = client.stream("FetchX509SVID")
    while len(ids(await read(stream))) < 2:
        pass
    response = await client.call("FetchJWTSVID", audience=["a"])
    assert ids(response) == ["/w", "/x"]
    for svid in response.svids:
        assert jwt_svid.parse_unverified(svid.svid).id.uri == svid.spiffe_id
    stream.cancel()


async def test_WL_23_with_an_id_there_is_that_token_only(
    client: Workload, server: FakeServer
) -> None:
    server.add_entry("e2", "/x", MY_UID)
    stream = client.stream("FetchX509SVID")
    while len(ids(await read(stream))) < 2:
        pass
    response = await client.call("FetchJWTSVID", audience=["a"], spiffe_id=f"{TD}/x")
    assert ids(response) == ["/x"]
    stream.cancel()


@pytest.mark.parametrize("text", ["http://example.org/w", "spiffe://", "w", "spiffe://x/a/"])
async def test_WL_23_a_malformed_id_is_an_invalid_argument(client: Workload, text: str) -> None:
    code, message = await client.refused("FetchJWTSVID", audience=["a"], spiffe_id=text)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("invalid requested SPIFFE ID: ")


@pytest.mark.parametrize("uri", [f"{TD}/other", "spiffe://other.org/w", TD])
async def test_WL_24_an_identity_of_somebody_else_is_denied(client: Workload, uri: str) -> None:
    refusal = await client.refused("FetchJWTSVID", audience=["a"], spiffe_id=uri)
    assert refusal == (grpc.StatusCode.PERMISSION_DENIED, "no identity issued")


async def test_WL_26_and_27_jwt_bundles_are_jwk_sets_of_jwt_keys_alone(
    client: Workload, server: FakeServer, other: FakeCa
) -> None:
    server.add_entry("e1", "/w", MY_UID, federates_with=["other.org"])
    stream = client.stream("FetchJWTBundles")
    while len((message := await read(stream)).bundles) < 2:
        pass
    assert set(message.bundles) == {TD, "spiffe://other.org"}
    [own] = json.loads(message.bundles[TD])["keys"]
    assert own["kid"] == server.ca.key_id
    assert "use" not in own
    assert "x5c" not in own
    [foreign] = json.loads(message.bundles["spiffe://other.org"])["keys"]
    assert foreign["kid"] == other.key_id
    stream.cancel()


async def test_WL_29_a_token_that_breaks_a_rule_is_an_invalid_argument(
    client: Workload, server: FakeServer, other: FakeCa
) -> None:
    ca = server.ca
    ca.now = server.clock.time()
    uri = f"{TD}/w"
    good = await token(client)
    bad = {
        "not a token": "x.y",
        "expired": ca.jwt(uri, ["a"], ttl=-600),
        "issued for others": ca.jwt(uri, ["b"]),
        "no audience": ca.jwt(uri, ["a"], aud=None),
        "no expiry": ca.jwt(uri, ["a"], exp=None),
        "not yet valid": ca.jwt(uri, ["a"], nbf=ca.now + 600),
        "no subject": ca.jwt(uri, ["a"], sub=None),
        "subject without SPIFFE ID": ca.jwt("w", ["a"]),
        "foreign key": other.jwt(uri, ["a"], header={"kid": ca.key_id}),
        "unknown key": ca.jwt(uri, ["a"], header={"kid": "unknown"}),
        "unknown trust domain": ca.jwt("spiffe://third.org/w", ["a"]),
        "no federation": other.jwt("spiffe://other.org/w", ["a"]),
        "other typ": ca.jwt(uri, ["a"], header={"typ": "at+jwt"}),
        "broken signature": good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"),
        "no algorithm": f"eyJhbGciOiJub25lIn0.{good.split('.')[1]}.",
    }
    await client.call("ValidateJWTSVID", audience="a", svid=good)
    for svid in bad.values():
        code, message = await client.refused("ValidateJWTSVID", audience="a", svid=svid)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert message
        assert svid not in message


async def test_WL_30_and_31_all_claims_of_an_own_token_are_shown(
    client: Workload, server: FakeServer
) -> None:
    await client.call("FetchX509SVID")
    server.ca.now = server.clock.time()
    claims: dict[str, Any] = {"n": 1.5, "t": True, "o": {"k": ["v", {"d": 1}]}, "e": [], "m": {}}
    svid = server.ca.jwt(f"{TD}/w", "a", **claims)
    response = await client.call("ValidateJWTSVID", audience="a", svid=svid)
    assert response.spiffe_id == f"{TD}/w"
    shown = dict(response.claims.items())
    assert shown["sub"] == f"{TD}/w"
    assert list(shown["aud"]) == ["a"]
    assert shown["n"] == 1.5
    assert shown["t"] is True
    assert shown["o"]["k"][1]["d"] == 1
    assert {"exp", "iat", "e", "m"} <= set(shown)


async def test_WL_30_of_a_foreign_token_only_the_spiffe_claims_are_shown(
    client: Workload, server: FakeServer, other: FakeCa
) -> None:
    server.add_entry("e1", "/w", MY_UID, federates_with=["other.org"])
    stream = client.stream("FetchJWTBundles")
    while len((await read(stream)).bundles) < 2:
        pass
    svid = other.jwt("spiffe://other.org/db", ["a"], admin=True)
    response = await client.call("ValidateJWTSVID", audience="a", svid=svid)
    assert response.spiffe_id == "spiffe://other.org/db"
    assert set(response.claims.keys()) == {"sub", "aud", "exp"}
    stream.cancel()


async def test_WL_30_claims_that_the_operator_allows_are_shown_of_foreign_tokens_too(
    tmp_path: Path, server: FakeServer, other: FakeCa
) -> None:
    server.add_entry("e1", "/w", MY_UID, federates_with=["other.org"])
    running = RunningAgent(
        tmp_path,
        server,
        clock=server.clock,
        token=server.add_token(),
        allowed_foreign_jwt_claims='["team"]',
    )
    async with running:
        await running.fetch()
        async with workload(running.socket) as client:
            svid = other.jwt("spiffe://other.org/db", ["a"], team="blue", admin=True)
            response = await client.call("ValidateJWTSVID", audience="a", svid=svid)
    assert set(response.claims.keys()) == {"sub", "aud", "exp", "team"}


async def test_WL_32_without_the_federated_bundle_its_tokens_are_no_good(
    client: Workload, server: FakeServer, other: FakeCa
) -> None:
    server.add_entry("e1", "/w", MY_UID, federates_with=["other.org"])
    stream = client.stream("FetchJWTBundles")
    while len((await read(stream)).bundles) < 2:
        pass
    svid = other.jwt("spiffe://other.org/db", ["a"])
    await client.call("ValidateJWTSVID", audience="a", svid=svid)
    del server.federated["other.org"]
    while len((await read(stream)).bundles) == 2:
        pass
    code, _ = await client.refused("ValidateJWTSVID", audience="a", svid=svid)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    stream.cancel()


async def test_WL_32_a_bundle_that_others_federate_with_is_none_of_this_callers(
    client: Workload, server: FakeServer, other: FakeCa
) -> None:
    server.add_entry("e2", "/x", "unix:uid:4242", federates_with=["other.org"])
    await client.call("FetchX509SVID")
    fetched = server.calls["GetFederatedBundle"]
    await eventually(lambda: server.calls["GetFederatedBundle"] > fetched + 1)
    svid = other.jwt("spiffe://other.org/db", ["a"])
    code, _ = await client.refused("ValidateJWTSVID", audience="a", svid=svid)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert set((await client.call("FetchJWTBundles")).bundles) == {TD}


async def test_WL_36_the_order_is_the_same_every_time(client: Workload, server: FakeServer) -> None:
    for name in ("c", "a", "b"):
        server.add_entry(name, f"/{name}", MY_UID)
    stream = client.stream("FetchX509SVID")
    while len(ids(message := await read(stream))) < 4:
        pass
    assert ids(message) == ["/a", "/b", "/c", "/w"]
    for _ in range(3):
        assert ids(await client.call("FetchX509SVID")) == ["/a", "/b", "/c", "/w"]
        assert ids(await client.call("FetchJWTSVID", audience=["x"])) == ["/a", "/b", "/c", "/w"]
    stream.cancel()
