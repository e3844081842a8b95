"""grpc-go as client of our server and as server for our channel: every scenario of the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.grpcgo.ends import NAME, GoServer, go_client
from tests.runtime.rpc.matrix.ends import OurClient, OurServer, tls_place, unix_place
from tests.runtime.rpc.matrix.every import SCENARIOS
from tests.runtime.rpc.matrix.link import Options, linked
from tests.runtime.rpc.matrix.memory import growth
from tests.runtime.rpc.matrix.table import FIGURE, KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

PLACES = {"unix": unix_place, "tls": tls_place}
WAITS, MANY = "a_call_that_waits_until_the_server_is_ready", "ten_thousand_streams"
OWN = (WAITS, MANY)  # in which the server's side has a part of its own to play


@pytest.mark.parametrize("transport", PLACES)
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, scenario in SCENARIOS.items()
        if scenario.applies(NAME, "finial") and name not in OWN
    ],
)
async def test_a_grpc_go_client_and_our_server(
    name: str, transport: str, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property(KEY, f"{name}|{NAME} > finial / {transport}")
    place, options = PLACES[transport](folder), SCENARIOS[name].options
    async with (
        OurServer()(place, options) as target,
        go_client(target, name, place, options) as client,
    ):
        said = await client.passed()
    for figure in said.splitlines():
        record_property(FIGURE, figure)


@pytest.mark.parametrize("transport", PLACES)
@pytest.mark.parametrize(
    "name", [name for name, scenario in SCENARIOS.items() if scenario.applies("finial", NAME)]
)
async def test_our_channel_and_a_grpc_go_server(
    name: str, transport: str, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property(KEY, f"{name}|finial > {NAME} / {transport}")
    scenario = SCENARIOS[name]
    async with linked(OurClient(), GoServer(), PLACES[transport](folder), scenario.options) as link:
        await scenario.run(link)
    for figure in link.say:
        record_property(FIGURE, figure)


async def test_a_grpc_go_client_that_waits_until_our_server_is_ready(
    folder: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property(KEY, f"{WAITS}|{NAME} > finial / unix")
    place, options = unix_place(folder), Options()
    async with go_client(f"unix:{place.socket}", WAITS, place, options) as client:
        assert await client.said() == "waiting\n"
        async with OurServer()(place, options):
            await client.passed()


@pytest.mark.parametrize("transport", PLACES)
async def test_ten_thousand_streams_of_a_grpc_go_client(
    transport: str, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property(KEY, f"{MANY}|{NAME} > finial / {transport}")
    place, options = PLACES[transport](folder), SCENARIOS[MANY].options
    async with (
        OurServer()(place, options) as target,
        go_client(target, MANY, place, options) as client,
    ):
        with growth() as grown:
            assert await client.said() == "open\n"
            record_property(FIGURE, f"{grown.each(10_000):.1f} KiB a stream of our server's")
        await client.passed()
