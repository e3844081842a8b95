"""An authority that is replaced by an operator's hand, below a running spire-agent and below ours.

prepare, activate, taint, revoke, each by SPIRE's own command line on our admin socket, with a
workload that holds a stream open all the while.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.programs import FINIAL, Family
from tests.interop.site import Site, until
from tests.interop.test_spire_agent import authority_key_id, serial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


@pytest.fixture(params=["spires-agent", "our-agent"])
async def site(peers: Family, folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    agent = peers if request.param == "spires-agent" else FINIAL
    async with Site(folder, server=FINIAL, agent=agent) as site:
        yield site


class Operator:
    """SPIRE's command line on our admin socket."""

    def __init__(self, site: Site, spire: Family, kind: str) -> None:
        self._site = site
        self._spire = spire
        self._kind = kind

    async def ask(self, verb: str, authority: str = "") -> Any:
        more = ("-authorityID", authority) if authority else ()
        words = ("localauthority", self._kind, verb, *more, "-output", "json")
        outcome = await self._site.command(self._spire, *words)
        assert outcome.code == 0, outcome
        return json.loads(outcome.out)

    async def replace(self) -> tuple[str, str]:
        """Prepare an authority and, once agents know of it, activate it: the old and the new."""
        old = (await self.ask("show"))["active"]["authority_id"]
        new = (await self.ask("prepare"))["prepared_authority"]["authority_id"]
        assert (await self.ask("show"))["prepared"]["authority_id"] == new
        await until(lambda: known(self._site), lambda keys: len(keys) == 2 or self._kind == "jwt")
        assert (await self.ask("activate", new))["activated_authority"]["authority_id"] == new
        return old, new


async def known(site: Site) -> set[str]:
    """The roots that the workload is told of, base64."""
    svids = await site.svids()
    bundle = base64.b64decode(svids[0]["bundle"]) if svids else b""
    roots = set()
    while bundle:
        size = 4 + int.from_bytes(bundle[2:4], "big")
        roots.add(base64.b64encode(bundle[:size]).decode())
        bundle = bundle[size:]
    return roots


async def signer(site: Site) -> str:
    """The authority that signed what the workload has."""
    return authority_key_id((await site.svids())[0])


async def test_a_tainted_authoritys_svids_are_replaced_on_an_open_stream(
    site: Site, peers: Family
) -> None:
    operator = Operator(site, peers, "x509")
    await site.add("/web")
    await site.until_served("/web")
    async with site.watching(peers) as process:
        assert process.stdout is not None
        updates: list[bytes] = []
        reading = asyncio.create_task(read(process.stdout, updates))
        old, new = await operator.replace()
        assert await signer(site) == old
        before = await serial(site)
        await operator.ask("taint", old)
        await until(lambda: signer(site), lambda found: found == new)
        await until(lambda: serial(site), lambda found: found != before)
        await operator.ask("revoke", old)
        await until(lambda: known(site), lambda roots: len(roots) == 1)
        await site.add("/after", selector="unix:gid:0")
        await until(site.ids, lambda served: set(served) == {"/web", "/after"})
        await until(lambda: seen(updates), lambda text: b"/after" in text)
        assert process.returncode is None
        reading.cancel()
    assert site.agent.code is None


async def seen(updates: list[bytes]) -> bytes:
    return b"".join(updates)


async def read(stream: asyncio.StreamReader, updates: list[bytes]) -> None:
    while line := await stream.readline():
        updates.append(line)


async def test_distrust_outlives_restarts_of_the_server(site: Site, peers: Family) -> None:
    operator = Operator(site, peers, "x509")
    await site.add("/web")
    await site.until_served("/web")
    old, new = await operator.replace()
    before = await serial(site)
    await operator.ask("taint", old)
    await until(lambda: serial(site), lambda found: found != before)
    assert await site.server.end() == 0
    await site.start_server()
    shown = await operator.ask("show")
    assert (shown["active"]["authority_id"], shown["old"]["authority_id"]) == (new, old)
    await operator.ask("revoke", old)
    assert await site.server.end() == 0
    await site.start_server()
    assert (await operator.ask("show"))["active"]["authority_id"] == new
    assert len((await site.answer("bundle", "show"))["x509_authorities"]) == 1
    await site.add("/after", selector="unix:gid:0")
    await until(site.ids, lambda served: set(served) == {"/web", "/after"})


async def test_a_tainted_keys_tokens_are_replaced(site: Site, peers: Family) -> None:
    operator = Operator(site, peers, "jwt")
    await site.add("/web")
    await site.until_served("/web")
    old, new = await operator.replace()
    await operator.ask("taint", old)
    await until(lambda: key_of(site, peers), lambda key: key == new)
    await operator.ask("revoke", old)
    assert await key_of(site, peers) == new


async def key_of(site: Site, spire: Family) -> str:
    """The key ID of the token that the workload gets."""
    words = ("api", "fetch", "jwt", "-audience", "them", "-output", "json")
    outcome = await site.workload(spire, *words)
    assert outcome.code == 0, outcome
    token = json.loads(outcome.out)[0]["svids"][0]["svid"]
    head = token.split(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])
