"""WIT-SVIDs from a server to a workload. Real sockets, real TLS, and hours on a fake clock."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import grpc
import jwt as pyjwt
import pytest

from finial.agent.cache.wit_shelf import LINGER
from finial.api.workload import workload_pb2 as pb
from finial.runtime.clock import SystemClock
from finial.runtime.rpc import RpcError, StatusError
from finial.spiffe import wit_svid
from tests.fakes.clock import FakeClock
from tests.fakes.server import FakeServer
from tests.fakes.waiting import eventually, pass_time
from tests.fakes.wit import FakeWit
from tests.fakes.workload import HEADER, MY_UID, RunningAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from finial.runtime.clock import Clock

FAST = '{ sync_interval = "30ms", feature_flags = ["wit-svid"] }'


@pytest.fixture(params=["real"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return FakeClock() if request.param == "fake" else SystemClock()


@pytest.fixture
async def server(clock: Clock) -> AsyncIterator[FakeServer]:
    fake = FakeServer(clock)
    fake.wit = FakeWit()
    fake.add_entry("e1", "/w", MY_UID)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def agent(tmp_path: Path, server: FakeServer) -> AsyncIterator[RunningAgent]:
    async with launched(tmp_path, server) as running:
        yield running


def launched(folder: Path, server: FakeServer, **settings: Any) -> RunningAgent:
    settings = {"experimental": FAST} | settings
    return RunningAgent(folder, server, clock=server.clock, token=server.add_token(), **settings)


async def watch(running: RunningAgent, spiffe_id: str = "") -> Any:
    await running.fetch()
    stub = await running.stub()
    return stub.FetchWITSVID(pb.WITSVIDRequest(spiffe_id=spiffe_id), metadata=HEADER)


async def fetch(running: RunningAgent, spiffe_id: str = "") -> pb.WITSVIDResponse:
    call = await watch(running, spiffe_id)
    message = await call.read()
    call.cancel()
    assert isinstance(message, pb.WITSVIDResponse)
    return message


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(RpcError) as caught:
        await call.read()
    return caught.value.code(), caught.value.details() or ""


def wit_calls(server: FakeServer) -> int:
    return server.calls["BatchNewWITSVID"]


async def test_the_key_a_workload_gets_is_the_one_its_token_names(
    agent: RunningAgent, server: FakeServer
) -> None:
    (found,) = (await fetch(agent)).svids
    assert server.wit is not None
    svid = wit_svid.validate(found.wit_svid, server.wit.bundle(), server.clock.time())
    assert found.spiffe_id == svid.id.uri == "spiffe://example.org/w"
    key = json.loads(found.wit_svid_key)
    assert (key["alg"], svid.proof_algorithm) == ("ES256", "ES256")
    assert pyjwt.PyJWK(key).key.public_key() == svid.key


@pytest.mark.parametrize(("key_type", "algorithm"), [("ec-p384", "ES384"), ("rsa-2048", "RS256")])
async def test_keys_are_of_the_configured_kind(
    tmp_path: Path, server: FakeServer, key_type: str, algorithm: str
) -> None:
    async with launched(tmp_path, server, workload_x509_svid_key_type=f'"{key_type}"') as running:
        (found,) = (await fetch(running)).svids
    svid = wit_svid.parse_unverified(found.wit_svid)
    assert svid.proof_algorithm == algorithm
    assert pyjwt.PyJWK(json.loads(found.wit_svid_key)).key.public_key() == svid.key


async def test_nothing_is_ordered_until_somebody_asks_and_then_only_that(
    agent: RunningAgent, server: FakeServer
) -> None:
    for number in range(5):
        server.add_entry(f"f{number}", f"/f{number}", MY_UID)
    while len((await agent.fetch()).svids) < 6:
        pass
    assert wit_calls(server) == 0
    (found,) = (await fetch(agent, "spiffe://example.org/f3")).svids
    assert found.spiffe_id == "spiffe://example.org/f3"
    assert [name for name in server.issued if name.startswith("wit ")] == ["wit f3"]


async def test_a_second_caller_is_served_from_the_cache(
    agent: RunningAgent, server: FakeServer
) -> None:
    first = await fetch(agent)
    assert await fetch(agent) == first
    assert wit_calls(server) == 1


async def test_an_open_stream_hears_of_new_and_deleted_entries(
    agent: RunningAgent, server: FakeServer
) -> None:
    call = await watch(agent)
    assert len((await call.read()).svids) == 1
    server.add_entry("e2", "/x", MY_UID)
    message = await call.read()
    assert [one.spiffe_id for one in message.svids] == [
        "spiffe://example.org/w",
        "spiffe://example.org/x",
    ]
    del server.entries["e1"]
    assert [one.spiffe_id for one in (await call.read()).svids] == ["spiffe://example.org/x"]
    del server.entries["e2"]
    assert await refused(call) == (grpc.StatusCode.PERMISSION_DENIED, "no identity issued")


@pytest.mark.parametrize("lie", ["swap_identity", "swap_key", "forge_wits"])
async def test_a_token_that_is_not_what_was_ordered_reaches_nobody(
    agent: RunningAgent, server: FakeServer, lie: str
) -> None:
    await agent.fetch()
    setattr(server.lies, lie, "spiffe://example.org/other" if lie == "swap_identity" else True)
    stub = await agent.stub()
    call: Any = stub.FetchWITSVID(pb.WITSVIDRequest(), metadata=HEADER)
    code, text = await refused(call)
    assert (code, text) == (
        grpc.StatusCode.UNAVAILABLE,
        "no WIT-SVID could be fetched from the server",
    )
    assert wit_calls(server) == 1


async def test_a_token_that_has_expired_is_neither_served_nor_ordered_again_without_a_pause(
    agent: RunningAgent, server: FakeServer
) -> None:
    await agent.fetch()
    server.entries["e1"].x509_svid_ttl = -10
    stub = await agent.stub()
    call: Any = stub.FetchWITSVID(pb.WITSVIDRequest(), metadata=HEADER)
    assert (await refused(call))[0] is grpc.StatusCode.UNAVAILABLE
    assert wit_calls(server) == 1


async def test_one_order_that_fails_does_not_take_the_others_with_it(
    agent: RunningAgent, server: FakeServer
) -> None:
    server.add_entry("e2", "/x", MY_UID)
    while len((await agent.fetch()).svids) < 2:
        pass
    server.lies.largest_batch = 1
    assert len((await fetch(agent)).svids) == 2


async def test_a_server_that_is_away_is_unavailable_and_asked_again_for_the_next_caller(
    agent: RunningAgent, server: FakeServer
) -> None:
    away = StatusError(grpc.StatusCode.UNAVAILABLE, "away")
    server.lies.failures["BatchNewWITSVID"] = away
    assert (await refused(await watch(agent)))[0] is grpc.StatusCode.UNAVAILABLE
    server.lies.failures.clear()
    assert len((await fetch(agent)).svids) == 1


async def test_a_server_without_them_makes_both_calls_unimplemented_and_back(
    agent: RunningAgent, server: FakeServer
) -> None:
    wit, server.wit = server.wit, None
    stub = await agent.stub()

    async def code(call: Any) -> grpc.StatusCode | None:
        try:
            await call.read()
        except RpcError as error:
            return error.code()
        finally:
            call.cancel()
        return None

    async def codes() -> set[Any]:
        return {
            await code(stub.FetchWITSVID(pb.WITSVIDRequest(), metadata=HEADER)),
            await code(stub.FetchWITBundles(pb.WITBundlesRequest(), metadata=HEADER)),
        }

    await agent.fetch()
    while await codes() != {grpc.StatusCode.UNIMPLEMENTED}:
        pass
    server.wit = wit
    while await codes() != {None}:
        pass


async def test_an_open_stream_ends_unimplemented_when_the_server_stops_issuing(
    agent: RunningAgent, server: FakeServer
) -> None:
    call = await watch(agent)
    await call.read()
    server.wit = None
    assert await refused(call) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "fetching WIT-SVIDs is not implemented",
    )


async def test_a_server_that_refuses_although_its_bundle_has_keys_is_believed(
    agent: RunningAgent, server: FakeServer
) -> None:
    disabled = StatusError(grpc.StatusCode.UNIMPLEMENTED, "WIT functionality is disabled")
    server.lies.failures["BatchNewWITSVID"] = disabled
    for _ in range(2):
        assert (await refused(await watch(agent)))[0] is grpc.StatusCode.UNIMPLEMENTED
    assert wit_calls(server) == 1


# -- over time -------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", ["fake"], indirect=True)
async def test_an_open_stream_gets_a_new_key_and_token_at_half_life(
    agent: RunningAgent, server: FakeServer, clock: FakeClock
) -> None:
    call = await watch(agent)
    (first,) = (await call.read()).svids
    await pass_time(clock, 0.44 * 3600, step=30)
    assert wit_calls(server) == 1
    await pass_time(clock, 0.12 * 3600, step=30)
    (second,) = (await call.read()).svids
    assert wit_calls(server) == 2
    assert second.wit_svid_key != first.wit_svid_key
    assert wit_svid.parse_unverified(second.wit_svid).expires_at > clock.time() + 3000
    call.cancel()


@pytest.mark.parametrize("clock", ["fake"], indirect=True)
async def test_what_nobody_asks_for_is_not_renewed(
    agent: RunningAgent, server: FakeServer, clock: FakeClock
) -> None:
    await fetch(agent)
    await pass_time(clock, 2 * 3600, step=30)
    assert wit_calls(server) == 1
    await fetch(agent)
    assert wit_calls(server) == 2


@pytest.mark.parametrize("clock", ["fake"], indirect=True)
async def test_a_workload_that_asks_again_and_again_costs_one_order_until_half_life(
    agent: RunningAgent, server: FakeServer, clock: FakeClock
) -> None:
    for _ in range(10):
        await fetch(agent)
        await pass_time(clock, LINGER / 2, step=5)
    assert wit_calls(server) == 1


@pytest.mark.parametrize("clock", ["fake"], indirect=True)
async def test_at_its_end_a_token_that_could_not_be_renewed_is_withdrawn(
    agent: RunningAgent, server: FakeServer, clock: FakeClock
) -> None:
    call = await watch(agent)
    await call.read()
    server.lies.failures["BatchNewWITSVID"] = StatusError(grpc.StatusCode.UNAVAILABLE, "away")
    reading = asyncio.ensure_future(refused(call))
    await pass_time(clock, 3590, step=30)
    assert not reading.done()
    await pass_time(clock, 20, step=2)
    await eventually(reading.done)
    assert (await reading)[0] is grpc.StatusCode.UNAVAILABLE
