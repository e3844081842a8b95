"""Envoy as the client of our server: grpcio's calls, through the proxy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.interop.envoy.proxy import EnvoyClient
from tests.runtime.rpc.matrix.ends import OurServer, tls_place, unix_place
from tests.runtime.rpc.matrix.every import SCENARIOS
from tests.runtime.rpc.matrix.link import Options, linked
from tests.runtime.rpc.matrix.table import KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

PLACES = {"unix": unix_place, "tls": tls_place}
# Where it is Envoy's doing what happens.
ITS_OWN = {
    "metadata_above_the_limit_ends_that_call_alone",  # it does not heed our SETTINGS for it
    "a_call_that_waits_until_the_server_is_ready",  # it is ready itself
    # Another client would be another Envoy.
    "forty_connections_at_once",
    "a_reader_of_small_windows_that_stops_blocks_nobody",
}


@pytest.mark.parametrize("transport", PLACES)
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, scenario in SCENARIOS.items()
        if scenario.applies("envoy", "finial") and name not in ITS_OWN
    ],
)
async def test_calls_through_envoy(
    name: str, transport: str, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property(KEY, f"{name}|envoy > finial / {transport}")
    scenario, place = SCENARIOS[name], PLACES[transport](folder)
    async with linked(EnvoyClient(), OurServer(), place, scenario.options) as link:
        await scenario.run(link)


@pytest.mark.parametrize("transport", PLACES)
async def test_a_thousand_calls_at_once_through_envoy(transport: str, folder: Path) -> None:
    place = PLACES[transport](folder)
    async with linked(EnvoyClient(), OurServer(), place, Options()) as link:
        answers = await asyncio.gather(*(link.stub.Plain(b"%d" % n) for n in range(1000)))
    assert answers == [b"%d" % n for n in range(1000)]
