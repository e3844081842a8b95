"""A SPIRE server below ours: our server is its upstream authority, by SPIRE's own plugin."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.x509 import load_der_x509_certificate

from finial.spiffe.bundle import Bundle, BundleSet, X509Authority
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.x509_svid import verify_chain
from tests.interop.programs import FINIAL, Family
from tests.interop.site import DOMAIN, Site, until
from tests.interop.test_forced_rotation import Operator, known
from tests.interop.test_spire_agent import authority_key_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]

UPSTREAM = """
  UpstreamAuthority "spire" {{
    plugin_data {{
      server_address = "127.0.0.1"
      server_port = "{port}"
      workload_api_socket = "{socket}"
    }}
  }}
}}
"""


@pytest.fixture(params=["by-spires-agent", "by-ours"])
async def upper(peers: Family, folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """Our server, and the agent through which a downstream server gets its identity."""
    agent = peers if request.param == "by-spires-agent" else FINIAL
    async with Site(folder / "u", server=FINIAL, agent=agent) as site:
        await site.add("/nested", "-downstream")
        yield site


@pytest.fixture
async def lower(upper: Site, peers: Family, folder: Path) -> AsyncIterator[Site]:
    """SPIRE's server below it, with SPIRE's agent and a workload."""
    site = Site(folder / "l", server=peers, agent=peers)
    below(site, upper)
    async with site:
        await site.add("/deep")
        await site.until_served("/deep")
        yield site


def below(site: Site, upper: Site) -> None:
    """Give the site's server its upstream authority."""
    conf = site.folder / "server.conf"
    port = next(
        line.split('"')[1]
        for line in (upper.folder / "server.conf").read_text().splitlines()
        if "bind_port" in line
    )
    plugin = UPSTREAM.format(port=port, socket=upper.socket)
    conf.write_text(conf.read_text().rstrip().removesuffix("}") + plugin)


async def roots(site: Site) -> Bundle:
    """The site's bundle as its server shows it."""
    shown = await site.answer("bundle", "show")
    authorities = (
        X509Authority.from_der(base64.b64decode(each["asn1"])) for each in shown["x509_authorities"]
    )
    return Bundle(TrustDomain(DOMAIN), tuple(authorities))


def chain_of(svid: Any) -> list[bytes]:
    """The certificates of an SVID as the agent's command line shows them, leaf first."""
    der = base64.b64decode(svid["x509_svid"])
    found = []
    while der:
        size = 4 + int.from_bytes(der[2:4], "big")
        found.append(der[:size])
        der = der[size:]
    return found


async def test_its_workloads_chains_verify_with_our_bundle_and_have_one_intermediate(
    upper: Site, lower: Site
) -> None:
    (svid,) = await lower.svids()
    chain = chain_of(svid)
    leaf, intermediate = (load_der_x509_certificate(each) for each in chain)
    now = leaf.not_valid_before_utc.timestamp() + 20
    proven = verify_chain(chain, BundleSet([await roots(upper)]), now)
    assert proven.id.uri == f"spiffe://{DOMAIN}/deep"
    assert "OU=DOWNSTREAM-1" in intermediate.subject.rfc4514_string()
    issued = await upper.answer("bundle", "show")
    assert len(issued["jwt_authorities"]) == 2


async def test_its_tokens_validate_at_our_side(upper: Site, lower: Site) -> None:
    words = ("api", "fetch", "jwt", "-audience", "them", "-output", "json")
    outcome = await lower.workload(lower.agent_family, *words)
    token = json.loads(outcome.out)[0]["svids"][0]["svid"]
    judged = ("api", "validate", "jwt", "-audience", "them", "-svid", token, "-output", "json")

    async def validated() -> int:
        return (await upper.workload(upper.agent_family, *judged)).code

    await until(validated, lambda code: code == 0)


async def test_a_rotation_and_a_taint_of_our_authority_reach_its_workloads(
    upper: Site, lower: Site, peers: Family
) -> None:
    operator = Operator(upper, peers, "x509")
    (before,) = await lower.svids()
    old, new = await operator.replace()
    await until(lambda: known(lower), lambda roots: len(roots) == 2)
    await operator.ask("taint", old)

    async def upstream() -> str:
        (svid,) = await lower.svids()
        return authority_key_id({"x509_svid": base64.b64encode(chain_of(svid)[1]).decode()})

    await until(upstream, lambda found: found == new, patience=60)
    (after,) = await lower.svids()
    assert after["x509_svid"] != before["x509_svid"]
