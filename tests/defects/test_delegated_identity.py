"""A delegate never gets an identity with rights at the server, by whatever way it asks."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from finial.runtime.clock import SystemClock
from tests.fakes.delegate import DELEGATE, ME, OTHER, Delegate, delegate, paths, refused
from tests.fakes.server import FakeServer
from tests.fakes.waiting import eventually
from tests.fakes.workload import MY_UID, RunningAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RIGHTS = pytest.mark.parametrize("right", ["admin", "downstream"])
WORKLOAD = "unix:uid:4711"
NOTHING = (grpc.StatusCode.PERMISSION_DENIED, "no identity issued")


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer(SystemClock())
    await fake.start()
    fake.add_entry("proxy", "/proxy", MY_UID)
    yield fake
    await fake.stop()


def agent(folder: Path, server: FakeServer, token: str = "") -> RunningAgent:
    settings = {
        "admin_socket_path": f'"{folder}/admin/admin.sock"',
        "authorized_delegates": f'["{DELEGATE}"]',
        "experimental": '{ sync_interval = "30ms" }',
    }
    return RunningAgent(folder, server, clock=server.clock, token=token, **settings)


@pytest.fixture
async def me(tmp_path: Path, server: FakeServer) -> AsyncIterator[Delegate]:
    admin = tmp_path / "admin" / "admin.sock"
    async with agent(tmp_path, server, server.add_token()):
        await eventually(admin.exists)
        async with delegate(admin) as client:
            yield client


async def until(stream: Any, *wanted: str) -> None:
    while paths(await stream.read()) != list(wanted):
        pass


@RIGHTS
async def test_selectors_bring_neither_its_svid_nor_its_token(
    me: Delegate, server: FakeServer, right: str
) -> None:
    server.add_entry("a", "/powerful", WORKLOAD, **{right: True})
    assert paths(await me.svids(OTHER).read()) == []
    assert await refused(me.tokens(OTHER)) == NOTHING
    server.add_entry("b", "/plain", WORKLOAD)
    await until(me.svids(OTHER), "/plain")
    assert paths(await me.tokens(OTHER)) == ["/plain"]


@RIGHTS
async def test_a_process_brings_neither_either(
    me: Delegate, server: FakeServer, right: str
) -> None:
    server.add_entry("a", "/powerful", MY_UID, **{right: True})
    server.add_entry("b", "/plain", MY_UID)
    await until(me.svids(pid=os.getpid()), "/plain", "/proxy")
    assert paths(await me.tokens(pid=os.getpid())) == ["/plain", "/proxy"]


@RIGHTS
async def test_an_entry_that_gets_the_right_leaves_the_streams(
    me: Delegate, server: FakeServer, right: str
) -> None:
    server.add_entry("a", "/powerful", WORKLOAD)
    stream = me.svids(OTHER)
    await until(stream, "/powerful")
    server.add_entry("a", "/powerful", WORKLOAD, **{right: True})
    await until(stream)
    assert await refused(me.tokens(OTHER)) == NOTHING


@RIGHTS
async def test_another_entry_of_the_same_identity_is_no_way_round(
    me: Delegate, server: FakeServer, right: str
) -> None:
    # The server gives the right to the SPIFFE ID, whichever entry an SVID was ordered for.
    server.add_entry("b", "/powerful", WORKLOAD)
    server.add_entry("c", "/plain", WORKLOAD)
    stream = me.svids(OTHER)
    await until(stream, "/powerful", "/plain")
    server.add_entry("a", "/powerful", "unix:uid:99", **{right: True})
    await until(stream, "/plain")
    assert paths(await me.tokens(OTHER)) == ["/plain"]


async def test_a_delegate_with_rights_does_not_get_its_own_identity(
    me: Delegate, server: FakeServer
) -> None:
    server.add_entry("proxy", "/proxy", MY_UID, admin=True)
    assert paths(await me.svids(ME).read()) == []
    assert await refused(me.tokens(ME)) == NOTHING


async def test_an_entry_that_gets_the_right_while_its_token_is_fetched(
    me: Delegate, server: FakeServer
) -> None:
    server.add_entry("a", "/powerful", WORKLOAD)
    server.add_entry("b", "/plain", WORKLOAD)
    stream = me.svids(OTHER)
    await until(stream, "/powerful", "/plain")
    answered = server.lies.delays["NewJWTSVID"] = asyncio.Event()
    call = asyncio.ensure_future(me.tokens(OTHER))
    await eventually(lambda: server.calls["NewJWTSVID"] == 2)
    server.add_entry("a", "/powerful", WORKLOAD, admin=True)
    await until(stream, "/plain")
    answered.set()
    assert paths(await call) == ["/plain"]


@RIGHTS
async def test_nor_after_a_sync_by_revisions_or_a_restart(
    tmp_path: Path, server: FakeServer, right: str
) -> None:
    for number in range(501):  # more than come whole in one answer
        server.add_entry(f"e{number}", f"/e{number}", "unix:uid:1")
    server.add_entry("a", "/powerful", WORKLOAD, **{right: True})
    server.add_entry("b", "/plain", WORKLOAD)
    admin = tmp_path / "admin" / "admin.sock"
    for token in (server.add_token(), ""):
        async with agent(tmp_path, server, token):
            await eventually(admin.exists)
            async with delegate(admin) as client:
                await until(client.svids(OTHER), "/plain")
                syncs = server.calls["SyncAuthorizedEntries"]
                await eventually(lambda: server.calls["SyncAuthorizedEntries"] > syncs + 2)  # noqa: B023
                assert paths(await client.tokens(OTHER)) == ["/plain"]
    assert server.calls["AttestAgent"] == 1


async def test_entries_for_stores_are_for_nobody_on_the_node(
    me: Delegate, server: FakeServer
) -> None:
    server.add_entry("a", "/stored", WORKLOAD, store_svid=True)
    assert paths(await me.svids(OTHER).read()) == []
    assert await refused(me.tokens(OTHER)) == NOTHING
    server.add_entry("b", "/plain", WORKLOAD)
    stream = me.svids(OTHER)
    await until(stream, "/plain")
    server.add_entry("b", "/plain", WORKLOAD, store_svid=True)
    await until(stream)
