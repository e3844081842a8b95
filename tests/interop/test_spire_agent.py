"""An unmodified spire-agent below our server."""

from __future__ import annotations

import base64
import json
import signal
from typing import TYPE_CHECKING

import pytest
from cryptography.x509 import AuthorityKeyIdentifier, load_der_x509_certificate

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
    async with Site(folder, server=FINIAL, agent=peers) as site:
        yield site


async def test_it_attests_and_serves_both_kinds_of_documents(site: Site, gospiffe: Path) -> None:
    await site.add("/web")
    await site.until_served("/web")
    (svid,) = await site.svids()
    assert svid.keys() >= {"x509_svid", "x509_svid_key", "bundle", "spiffe_id"}
    assert await steps(gospiffe, site.socket) == all_well(WEB)
    (agent,) = (await site.answer("agent", "list"))["agents"]
    assert agent["attestation_type"] == "join_token"
    assert agent["can_reattest"] is False
    assert agent["agent_version"].startswith("1.")


async def test_its_own_command_line_validates_the_token_that_it_fetched(site: Site) -> None:
    await site.add("/web")
    await site.until_served("/web")
    words = ("api", "fetch", "jwt", "-audience", AUDIENCE, "-output", "json")
    outcome = await site.workload(site.agent_family, *words)
    token = json.loads(outcome.out)[0]["svids"][0]["svid"]
    words = ("api", "validate", "jwt", "-audience", AUDIENCE, "-output", "json")
    claims = json.loads((await site.workload(site.agent_family, *words, "-svid", token)).out)
    assert claims["spiffe_id"] == WEB
    assert claims["claims"]["aud"] == [AUDIENCE]


async def test_an_entry_made_changed_and_deleted_shows_at_its_socket(site: Site) -> None:
    entry = await site.add("/web")
    await site.until_served("/web")
    words = ("-parentID", site.agent_id, "-selector", "unix:uid:0", "-entryID", entry)
    await site.answer("entry", "update", *words, "-spiffeID", f"spiffe://{DOMAIN}/other")
    await site.until_served("/other")
    await site.answer("entry", "delete", "-entryID", entry)
    await site.until_served()


async def test_an_alias_of_its_token_brings_it_the_entries_below_the_alias(
    site: Site,
) -> None:
    alias = f"spiffe://{DOMAIN}/host"
    parent = ("-parentID", site.agent_id, "-spiffeID", alias)
    await site.answer("entry", "create", *parent, "-selector", f"spiffe_id:{site.agent_id}")
    words = ("-parentID", alias, "-spiffeID", WEB, "-selector", "unix:uid:0")
    await site.answer("entry", "create", *words)
    await site.until_served("/web")


async def test_it_outlives_a_restart_of_the_server(site: Site) -> None:
    await site.add("/web")
    await site.until_served("/web")
    assert await site.server.end() == 0
    assert await site.ids() == ["/web"]
    await site.start_server()
    await site.add("/later", selector="unix:gid:0")
    await until(site.ids, lambda served: set(served) == {"/web", "/later"})
    assert site.agent.code is None


async def test_it_outlives_a_server_that_was_killed(site: Site) -> None:
    await site.add("/web")
    await site.until_served("/web")
    await site.server.end(signal.SIGKILL)
    await site.start_server()
    await site.add("/later", selector="unix:gid:0")
    await until(site.ids, lambda served: set(served) == {"/web", "/later"})


async def test_restarted_it_goes_on_with_the_svid_that_it_kept(site: Site) -> None:
    await site.add("/web")
    await site.until_served("/web")
    before = await serial(site)
    assert await site.agent.end() == 0
    await site.start_agent()
    await site.until_served("/web")
    assert await serial(site) == before


async def test_it_syncs_more_entries_than_a_page_holds(site: Site) -> None:
    # Above 500 the server sends revisions first, and the agent asks for the entries that it lacks.
    await site.add_many(501)
    assert len({svid["spiffe_id"] for svid in await site.svids_of(501)}) == 501
    await site.add("/one-more")
    await site.svids_of(502)


async def test_banned_it_ends_and_forgets_its_svid(site: Site) -> None:
    await site.add("/web")
    await site.until_served("/web")
    await site.answer("agent", "ban", "-spiffeID", site.agent_id)
    assert await site.agent.ended() == 1
    assert "Agent is banned: removing SVID" in site.agent.log()
    stored = json.loads((site.folder / "agent" / "agent-data.json").read_text())
    assert not stored["svid"]


async def test_evicted_it_ends_because_a_token_is_good_only_once(site: Site) -> None:
    await site.add("/web")
    await site.until_served("/web")
    await site.answer("agent", "evict", "-spiffeID", site.agent_id)
    assert await site.agent.ended() == 1
    assert "Agent failed re-attestation; removing SVID" in site.agent.log()
    assert await site.answer("agent", "count") == {"count": 0}


async def test_a_spent_token_joins_no_second_agent(site: Site) -> None:
    token = site.agent_id.rpartition("/")[2]
    assert await site.agent.end() == 0
    (site.folder / "agent" / "agent-data.json").unlink()
    await site.agent.start("-joinToken", token)
    said = "failed to attest: join token does not exist or has already been used"
    await until_logged(site, said)


async def test_svids_and_the_agents_own_rotate_without_a_gap(peers: Family, folder: Path) -> None:
    async with Site(folder, server=FINIAL, agent=peers, ttl="10s", agent_ttl="20s") as site:
        await site.add("/web")
        await site.until_served("/web")
        svids, agents = set[str](), set[str]()

        async def look() -> tuple[int, int]:
            (svid,) = await site.svids()
            svids.add(svid["x509_svid"])
            agents.add(await serial(site))
            return len(svids), len(agents)

        await until(look, lambda seen: seen[0] >= 3 and seen[1] >= 2)


async def test_authorities_rotate_above_it_without_a_gap(
    peers: Family, folder: Path, gospiffe: Path
) -> None:
    lifetimes = {"ttl": "10s", "agent_ttl": "10s", "ca_ttl": "60s"}
    async with Site(folder, server=FINIAL, agent=peers, **lifetimes) as site:
        await site.add("/web")
        await site.until_served("/web")
        signers = set[str]()

        async def look() -> int:
            assert await steps(gospiffe, site.socket) == all_well(WEB)
            (svid,) = await site.svids()
            signers.add(authority_key_id(svid))
            return len(signers)

        # Prepared at half of the 60 s, active when a sixth is left.
        await until(look, lambda seen: seen == 2, patience=100)


def authority_key_id(svid: dict[str, str]) -> str:
    """Which authority has signed it, in hexadecimal."""
    leaf = load_der_x509_certificate(base64.b64decode(svid["x509_svid"]))
    extension = leaf.extensions.get_extension_for_class(AuthorityKeyIdentifier)
    return (extension.value.key_identifier or b"").hex()


async def serial(site: Site) -> str:
    (agent,) = (await site.answer("agent", "list"))["agents"]
    return str(agent["x509svid_serial_number"])


async def until_logged(site: Site, text: str) -> None:
    async def log() -> str:
        return site.agent.log()

    await until(log, lambda said: text in said)
