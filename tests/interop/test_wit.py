"""WIT-SVIDs between the families: whoever issues them, whoever serves them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt as pyjwt
import pytest

from tests.fakes.grpcio import workload
from tests.interop.gospiffe_workload import all_well, steps
from tests.interop.programs import FINIAL, Family, Outcome, run
from tests.interop.site import DOMAIN, Site, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
WEB = f"spiffe://{DOMAIN}/web"
ON = '["wit-svid"]'
MINT = ("wit", "mint", "-spiffeID", WEB, "-output", "json")


async def mint(site: Site, family: Family, *words: str) -> Outcome:
    """Mint on the site's server; SPIRE's command is there only when its environment says so."""
    command = (*family.server, *MINT, *words, "-socketPath", str(site.folder / "server.sock"))
    return await run(*command, SPIRE_SERVER_FFLAGS="wit-svid")


def checked(token: str, private_key: str, keys: list[Any]) -> dict[str, Any]:
    """The claims of a token that one of the published keys signed for this private key."""
    header = pyjwt.get_unverified_header(token)
    assert set(header) == {"alg", "kid", "typ"}
    assert header["typ"] == "wit+jwt"
    (key,) = (each for each in keys if each["kid"] == header["kid"])
    claims: dict[str, Any] = pyjwt.decode(
        token, pyjwt.PyJWK(key, header["alg"]), algorithms=[header["alg"]]
    )
    private = pyjwt.PyJWK(json.loads(private_key) | {"alg": claims["cnf"]["jwk"]["alg"]})
    assert private.key.public_key() == pyjwt.PyJWK(claims["cnf"]["jwk"]).key
    return claims


async def served(site: Site) -> tuple[Any, list[Any]]:
    """The WIT-SVID that the agent serves, and the keys of its bundle."""
    async with workload(site.socket) as client:
        (svid,) = (await client.call("FetchWITSVID")).svids
        bundle = (await client.call("FetchWITBundles")).bundles[f"spiffe://{DOMAIN}"]
    return svid, json.loads(bundle)["keys"]


async def test_a_spire_agent_serves_on_below_a_server_whose_bundle_has_wit_keys(
    peers: Family, folder: Path, gospiffe: Path
) -> None:
    async with Site(folder, server=FINIAL, agent=peers, flags=ON) as site:
        await site.add("/web")
        await site.until_served("/web")
        assert (await site.answer("bundle", "show"))["wit_authorities"]
        assert await steps(gospiffe, site.socket) == all_well(WEB)


async def test_our_agent_serves_what_spires_server_issues(peers: Family, folder: Path) -> None:
    async with Site(folder, server=peers, agent=FINIAL, flags=ON) as site:
        await site.add("/web")
        await until(site.ids, lambda ids: ids == ["/web"])
        svid, keys = await served(site)
        assert svid.spiffe_id == WEB
        assert checked(svid.wit_svid, svid.wit_svid_key, keys)["sub"] == WEB


async def test_spires_command_mints_at_our_server_as_at_its_own(
    peers: Family, folder: Path
) -> None:
    async with Site(folder, server=FINIAL, agent=FINIAL, flags=ON) as site:
        await site.add("/web")
        await until(site.ids, lambda ids: ids == ["/web"])
        _, keys = await served(site)
        shapes = []
        for family in (peers, FINIAL):
            outcome = await mint(site, family)
            assert outcome.code == 0, outcome
            minted = json.loads(outcome.out)
            claims = checked(minted["svid"]["token"], minted["private_key"], keys)
            assert claims["sub"] == WEB
            shapes.append((list(minted), list(minted["svid"])))
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    "words",
    [
        ("-spiffeID", "spiffe://other.org/x"),
        ("-keyType", "rsa-2048"),
        ("-signingAlgorithm", "HS256"),
        ("-ttl", "-1s"),
    ],
)
async def test_both_servers_answer_both_commands_alike(
    peers: Family, folder: Path, words: tuple[str, ...]
) -> None:
    said = set()
    for number, server in enumerate((peers, FINIAL)):
        site = Site(folder / str(number), server=server, agent=FINIAL, flags=ON)
        try:
            await site.start_server()
            for family in (peers, FINIAL):
                outcome = await mint(site, family, *words)
                said.add((outcome.code, outcome.err))
        finally:
            await site.__aexit__()
    assert len(said) == 1
