"""The server cannot be reached: the agent serves what it has, and catches up afterwards."""

import asyncio

import grpc

from tests.fakes.daemon import run_program
from tests.fakes.grpcio import workload
from tests.fakes.lab import Lab


async def test_the_agent_serves_from_memory_and_catches_up(lab: Lab) -> None:
    async with workload(lab.agent.socket) as client:
        stream = client.stream("FetchX509SVID")
        held = await stream.read()
        cached = await client.call("FetchJWTSVID", audience=["known"])
        assert await lab.server.stop() == 0
        assert (await lab.admin("healthcheck")).code == 1
        healthy = await run_program("agent", "healthcheck", "-socketPath", str(lab.agent.socket))
        assert healthy.code == 0

        again = await client.call("FetchX509SVID")
        assert again.svids[0].x509_svid == held.svids[0].x509_svid
        assert await client.call("FetchJWTSVID", audience=["known"]) == cached
        token = cached.svids[0].svid
        checked = await client.call("ValidateJWTSVID", audience="known", svid=token)
        assert checked.spiffe_id == "spiffe://example.org/db"
        code, message = await client.refused("FetchJWTSVID", audience=["new"])
        assert code is grpc.StatusCode.UNAVAILABLE
        assert message.startswith("could not fetch JWT-SVID: ")

        await lab.server.start()
        await lab.add("/later")
        async with asyncio.timeout(20):
            assert len((await stream.read()).svids) == 2
        assert await client.call("FetchJWTSVID", audience=["new"])


async def test_an_agent_started_without_its_server_serves_once_it_is_there(lab: Lab) -> None:
    assert (await lab.agent.stop(), await lab.server.stop()) == (0, 0)
    await lab.agent.start()
    assert await lab.identities() == ["UNAVAILABLE"]
    await lab.server.start()
    await lab.serving("/db")
    assert lab.agent.log().count("node attested") == 1
