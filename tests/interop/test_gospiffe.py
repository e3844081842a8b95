"""go-spiffe as a workload of our agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.gospiffe_workload import all_well, steps
from tests.interop.programs import FINIAL, run
from tests.interop.site import DOMAIN, Site

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
WEB = f"spiffe://{DOMAIN}/web"


async def test_go_spiffe_fetches_validates_and_shakes_hands(gospiffe: Path, folder: Path) -> None:
    async with Site(folder, server=FINIAL, agent=FINIAL) as site:
        await site.add("/web")
        await site.until_served("/web")
        assert await steps(gospiffe, site.socket) == all_well(WEB)


async def test_go_spiffe_holds_every_identity_of_its_workload(gospiffe: Path, folder: Path) -> None:
    async with Site(folder, server=FINIAL, agent=FINIAL) as site:
        await site.add("/web", "-hint", "front")
        await site.add("/api", "-hint", "back")
        served = await site.svids_of(2)
        shown = await steps(gospiffe, site.socket)
        assert shown == all_well(served[0]["spiffe_id"], svids=2)


async def test_go_spiffe_is_told_that_a_workload_has_no_identity(
    gospiffe: Path, folder: Path
) -> None:
    async with Site(folder, server=FINIAL, agent=FINIAL) as site:
        outcome = await run(str(gospiffe), str(site.socket), "reader")
    assert outcome.code == 1
    assert "code = PermissionDenied desc = no identity issued" in outcome.err
