"""Our agent below an unmodified spire-server."""

from __future__ import annotations

import base64
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from finial.spiffe.x509_svid import split_certificates
from tests.interop.gospiffe_workload import AUDIENCE, all_well, steps
from tests.interop.programs import FINIAL, Family
from tests.interop.site import DOMAIN, Site, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
WEB = f"spiffe://{DOMAIN}/web"


@pytest.fixture
async def site(peers: Family, folder: Path) -> AsyncIterator[Site]:
    async with Site(folder, server=peers, agent=FINIAL) as site:
        yield site


async def test_our_agent_attests_and_serves_both_kinds_of_documents(
    site: Site, gospiffe: Path
) -> None:
    await site.add("/web")
    await site.until_served("/web")
    assert await steps(gospiffe, site.socket) == all_well(WEB)
    (agent,) = (await site.answer("agent", "list"))["agents"]
    assert agent["attestation_type"] == "join_token"
    assert agent["agent_version"]


async def test_a_jwt_svid_has_all_that_was_asked_for(site: Site) -> None:
    await site.add("/web", "-jwtSVIDTTL", "90")
    await site.until_served("/web")
    words = ("api", "fetch", "jwt", "-audience", AUDIENCE, "-output", "json")
    outcome = await site.workload(FINIAL, *words)
    token = json.loads(outcome.out)[0]["svids"][0]["svid"]
    words = ("api", "validate", "jwt", "-audience", AUDIENCE, "-output", "json")
    validated = json.loads((await site.workload(FINIAL, *words, "-svid", token)).out)
    claims = validated["claims"]
    assert (validated["spiffe_id"], claims["sub"], claims["aud"]) == (WEB, WEB, [AUDIENCE])
    assert claims["exp"] - claims["iat"] == 90


async def test_an_entry_made_changed_and_deleted_shows_at_our_socket(site: Site) -> None:
    entry = await site.add("/web")
    await site.until_served("/web")
    words = ("-parentID", site.agent_id, "-selector", "unix:uid:0", "-entryID", entry)
    await site.answer("entry", "update", *words, "-spiffeID", f"spiffe://{DOMAIN}/other")
    await site.until_served("/other")
    await site.answer("entry", "delete", "-entryID", entry)
    await site.until_served()


async def test_our_agent_outlives_a_restart_of_the_server(site: Site) -> None:
    await site.add("/web")
    await site.until_served("/web")
    assert await site.server.end() == 0
    assert await site.ids() == ["/web"]
    await site.start_server()
    await site.add("/later", selector="unix:gid:0")
    await until(site.ids, lambda served: set(served) == {"/web", "/later"})


async def test_our_agent_outlives_a_server_that_was_killed(site: Site) -> None:
    await site.add("/web")
    await site.until_served("/web")
    await site.server.end(signal.SIGKILL)
    await site.start_server()
    await site.add("/later", selector="unix:gid:0")
    await until(site.ids, lambda served: set(served) == {"/web", "/later"})


async def test_our_agent_restarted_goes_on_with_the_svid_that_it_kept(site: Site) -> None:
    await site.add("/web")
    await site.until_served("/web")
    before = await serial(site)
    assert await site.agent.end() == 0
    await site.start_agent()
    await site.until_served("/web")
    assert await serial(site) == before


async def test_our_agent_syncs_more_entries_than_a_page_holds(site: Site) -> None:
    # Above 500 the server sends revisions first, and the agent asks for the entries that it lacks.
    await site.add_many(501)
    assert len({svid["spiffe_id"] for svid in await site.svids_of(501)}) == 501
    await site.add("/one-more")
    await site.svids_of(502)


@pytest.mark.parametrize("verb", ["ban", "evict"])
async def test_our_agent_ends_when_the_server_puts_it_out(site: Site, verb: str) -> None:
    await site.add("/web")
    await site.until_served("/web")
    await site.answer("agent", verb, "-spiffeID", site.agent_id)
    assert await site.agent.ended() == 1


async def test_svids_and_our_agents_own_rotate_without_a_gap(peers: Family, folder: Path) -> None:
    async with Site(folder, server=peers, agent=FINIAL, ttl="10s", agent_ttl="20s") as site:
        await site.add("/web")
        await site.until_served("/web")
        svids, agents = set[str](), set[str]()

        async def look() -> tuple[int, int]:
            (svid,) = await site.svids()
            svids.add(svid["x509_svid"])
            agents.add(await serial(site))
            return len(svids), len(agents)

        await until(look, lambda seen: seen[0] >= 3 and seen[1] >= 2)


async def test_our_agent_follows_a_rotation_of_the_authorities(site: Site, gospiffe: Path) -> None:
    await site.add("/web")
    await site.until_served("/web")
    (before,) = await site.svids()
    prepared = (await site.answer("localauthority", "x509", "prepare"))["prepared_authority"]
    await until(site.svids, lambda svids: svids[0]["bundle"] != before["bundle"])
    shown = (await site.answer("localauthority", "x509", "show"))["active"]
    words = ("-authorityID", prepared["authority_id"])
    await site.answer("localauthority", "x509", "activate", *words)
    words = ("-authorityID", shown["authority_id"])
    await site.answer("localauthority", "x509", "taint", *words)
    await until(site.svids, lambda svids: svids[0]["x509_svid"] != before["x509_svid"])
    await site.answer("localauthority", "x509", "revoke", *words)
    # The tainted authority is gone for good: what is served now stands without it.
    await until(site.svids, lambda svids: authorities(svids[0]) == 1)
    assert await steps(gospiffe, site.socket) == all_well(WEB)


def authorities(svid: Any) -> int:
    """How many are in the bundle that came with an SVID."""
    return len(split_certificates(base64.b64decode(svid["bundle"])))


async def serial(site: Site) -> str:
    (agent,) = (await site.answer("agent", "list"))["agents"]
    return str(agent["x509svid_serial_number"])
