"""Pages of a list while the list changes: what was there throughout is seen once, and in order."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from finial.api.spire import types_pb2 as types
from finial.api.spire.server import agent_pb2, entry_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.server.registry.model import Agent
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.server_api import ApiLab, open_lab

OTHERS = 12
"""Entries that come, go and change between two pages; as many stay as they are."""


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ApiLab]:
    async with open_lab(tmp_path) as opened:
        yield opened


def entry(path: str, hint: str = "") -> types.Entry:
    return types.Entry(
        spiffe_id=types.SPIFFEID(trust_domain="example.org", path=path),
        parent_id=types.SPIFFEID(trust_domain="example.org", path="/spire/agent/a"),
        selectors=[types.Selector(type="unix", value="uid:1")],
        hint=hint,
    )


async def create(lab: ApiLab, *paths: str) -> list[str]:
    request = entry_pb2.BatchCreateEntryRequest(entries=[entry(path) for path in paths])
    results = (await EntryStub(lab.local).BatchCreateEntry(request)).results
    assert all(result.status.code == 0 for result in results)
    return [result.entry.id for result in results]


async def delete(lab: ApiLab, entry_id: str) -> None:
    await EntryStub(lab.local).BatchDeleteEntry(entry_pb2.BatchDeleteEntryRequest(ids=[entry_id]))


async def update(lab: ApiLab, entry_id: str, number: int) -> None:
    changed = types.Entry(id=entry_id, hint=f"h{number}")
    request = entry_pb2.BatchUpdateEntryRequest(
        entries=[changed], input_mask=types.EntryMask(hint=True)
    )
    await EntryStub(lab.local).BatchUpdateEntry(request)


Between = Callable[[], Awaitable[None]]


async def walk_entries(
    lab: ApiLab, between: Between, size: int, **filters: Any
) -> list[types.Entry]:
    seen: list[types.Entry] = []
    token = ""
    while True:
        request = entry_pb2.ListEntriesRequest(page_size=size, page_token=token, **filters)
        page = await EntryStub(lab.local).ListEntries(request)
        seen += page.entries
        token = page.next_page_token
        if not token:
            return seen
        await between()


class Unrest:
    """Creates, deletes and changes entries between two pages, on both sides of their border."""

    def __init__(self, lab: ApiLab, passing: list[str], staying: list[str]) -> None:
        self._lab = lab
        self._passing = passing
        self._staying = staying
        self._number = 0

    async def __call__(self) -> None:
        self._number += 1
        self._passing += await create(self._lab, f"/new/{self._number}")
        await delete(self._lab, self._passing.pop(0))
        await delete(self._lab, self._passing.pop(len(self._passing) // 2))
        await update(self._lab, self._passing[-1], self._number)
        for entry_id in (self._staying[0], self._staying[-1]):
            await update(self._lab, entry_id, self._number)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("filtered", [False, True])
async def test_an_entry_that_is_there_throughout_is_seen_exactly_once(
    lab: ApiLab, size: int, filtered: bool
) -> None:
    staying, passing = [], []
    for number in range(OTHERS):
        staying += await create(lab, f"/stays/{number}")
        passing += await create(lab, f"/passes/{number}", f"/passes/too/{number}")
    filters: dict[str, Any] = {}
    if filtered:
        parent = types.SPIFFEID(trust_domain="example.org", path="/spire/agent/a")
        filters["filter"] = entry_pb2.ListEntriesRequest.Filter(by_parent_id=parent)
    unrest = Unrest(lab, passing, staying)
    pages = 0

    async def between() -> None:
        nonlocal pages
        pages += 1
        if pages <= OTHERS:
            await unrest()

    seen = [each.id for each in await walk_entries(lab, between, size, **filters)]
    assert pages > 2
    assert len(seen) == len(set(seen))
    assert [each for each in seen if each in staying] == staying


async def test_an_agent_that_is_there_throughout_is_seen_exactly_once(lab: ApiLab) -> None:
    async def attested(name: str) -> SpiffeId:
        agent_id = SpiffeId.of(lab.ca.trust_domain, f"/spire/agent/test/{name}")
        await lab.agents.upsert_attested(
            Agent(id=agent_id, attestation_type="test", serial_number="1", expires_at=2**31)
        )
        return agent_id

    staying, passing = [], []
    for number in range(OTHERS):
        staying.append(await attested(f"stays{number}"))
        passing.append(await attested(f"passes{number}"))
    seen: list[str] = []
    token, number = "", 0
    while True:
        request = agent_pb2.ListAgentsRequest(page_size=2, page_token=token)
        page = await AgentStub(lab.local).ListAgents(request)
        seen += [each.id.path for each in page.agents]
        token = page.next_page_token
        if not token:
            break
        number += 1
        if number <= OTHERS // 2:
            await attested(f"new{number}")
            await attested("stays0")  # it attests again
            await lab.agents.set_version(staying[-1], f"v{number}")
            await lab.agents.delete(passing.pop(0))
            await lab.agents.ban(passing[-1])
    assert len(seen) == len(set(seen))
    assert [each for each in seen if "stays" in each] == [each.path for each in staying]
