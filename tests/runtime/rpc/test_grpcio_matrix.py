"""grpcio as client of our server and as server for our channel: every scenario of the matrix."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.runtime.rpc.matrix.ends import (
    GrpcioClient,
    GrpcioServer,
    OurClient,
    OurServer,
    tls_place,
    unix_place,
)
from tests.runtime.rpc.matrix.every import SCENARIOS
from tests.runtime.rpc.matrix.link import linked
from tests.runtime.rpc.matrix.sync_client import GrpcioSyncClient
from tests.runtime.rpc.matrix.sync_server import GrpcioSyncServer
from tests.runtime.rpc.matrix.table import FIGURE, KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.runtime.rpc.matrix.link import ClientEnd, ServerEnd

PLACES = {"unix": unix_place, "tls": tls_place}


class Pair(NamedTuple):
    client: ClientEnd
    server: ServerEnd

    def __str__(self) -> str:
        return f"{self.client.name} > {self.server.name}"


PAIRS = (
    Pair(GrpcioClient(), OurServer()),
    Pair(GrpcioSyncClient(), OurServer()),
    Pair(OurClient(), GrpcioServer()),
    Pair(OurClient(), GrpcioSyncServer()),
)


# Run by make interop with the other peers, for they take long: these, and of grpcio's synchronous
# half, which has the transport of the other, all but a few.
SLOW = {"ten_thousand_streams"}
SYNC = {
    "a_request_and_a_response",
    "streams_both_ways_in_step",
    "every_code_alone",
    "a_deadline_ends_the_call_on_both_sides",
    "a_client_cancels_while_it_waits",
}


def cells() -> Iterator[object]:
    for (pair, place), (name, scenario) in product(product(PAIRS, PLACES), SCENARIOS.items()):
        if scenario.applies(pair.client.name, pair.server.name):
            synchronous = "sync" in str(pair) and (name not in SYNC or place == "tls")
            slow = [pytest.mark.interop] if synchronous or name in SLOW else []
            id_ = f"{pair.client.name}-to-{pair.server.name}-{place}-{name}"
            yield pytest.param(pair, place, name, id=id_, marks=slow)


@pytest.mark.parametrize(("pair", "transport", "name"), list(cells()))
async def test_grpcio_and_we(
    pair: Pair,
    transport: str,
    name: str,
    folder: Path,
    record_property: Callable[[str, object], None],
) -> None:
    record_property(KEY, f"{name}|{pair} / {transport}")
    scenario, place = SCENARIOS[name], PLACES[transport](folder)
    async with linked(pair.client, pair.server, place, scenario.options) as link:
        await scenario.run(link)
    for figure in link.say:
        record_property(FIGURE, figure)
