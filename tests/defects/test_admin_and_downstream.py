"""`admin` and `downstream` survive every way that an entry takes: no copy, no cache loses them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from finial.api.spire import types_pb2 as types
from finial.api.spire.server import entry_pb2
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.server.datastore.feed import FeedStore
from finial.server.registry.feed import FeedReader
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.server_api import ApiLab, Attested, open_lab

RIGHTS = pytest.mark.parametrize("right", ["admin", "downstream"])
UNIX = types.Selector(type="unix", value="uid:1")


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ApiLab]:
    async with open_lab(tmp_path) as opened:
        yield opened


def message(agent: Attested, right: str, **fields: Any) -> types.Entry:
    domain = agent.id.trust_domain.name
    return types.Entry(
        spiffe_id=types.SPIFFEID(trust_domain=domain, path="/powerful"),
        parent_id=types.SPIFFEID(trust_domain=domain, path=agent.id.path),
        selectors=[UNIX],
        **{right: True},  # type: ignore[arg-type]
        **fields,
    )


async def create(lab: ApiLab, agent: Attested, right: str, **fields: Any) -> types.Entry:
    request = entry_pb2.BatchCreateEntryRequest(entries=[message(agent, right, **fields)])
    (result,) = (await EntryStub(lab.local).BatchCreateEntry(request)).results
    assert result.status.code == 0, result
    return result.entry


def has(entry: types.Entry, right: str) -> bool:
    """Whether it has that right, and not the other."""
    held = {name: getattr(entry, name) for name in ("admin", "downstream")}
    return held == {name: name == right for name in held}


def index_knows(lab: ApiLab, reader: FeedReader, right: str) -> bool:
    powerful = SpiffeId.of(lab.ca.trust_domain, "/powerful")
    held = (reader.entries.is_admin(powerful), reader.entries.is_downstream(powerful))
    return held == (right == "admin", right == "downstream")


async def everywhere(lab: ApiLab, agent: Attested, entry_id: str, right: str) -> None:
    """Look at the entry in every answer, in the index, and in the index of a new start."""
    stub = EntryStub(lab.local)
    one = await stub.GetEntry(entry_pb2.GetEntryRequest(id=entry_id))
    listed = await stub.ListEntries(entry_pb2.ListEntriesRequest())
    paged = await stub.ListEntries(entry_pb2.ListEntriesRequest(page_size=5))
    own = EntryStub(agent.channel)
    told = await own.GetAuthorizedEntries(entry_pb2.GetAuthorizedEntriesRequest())
    again = await own.GetAuthorizedEntries(entry_pb2.GetAuthorizedEntriesRequest())
    synced = await synchronise(agent, [])
    by_id = await synchronise(agent, [entry_id])
    answers = [one, *listed.entries, *paged.entries, *told.entries, *again.entries]
    answers += [*synced, *by_id]
    assert len(answers) == 7
    assert all(has(answer, right) for answer in answers)
    assert index_knows(lab, lab.reader, right)
    started_again = FeedReader(FeedStore(lab.db), lab.clock)
    await started_again.load()
    assert index_knows(lab, started_again, right)


async def synchronise(agent: Attested, ids: list[str]) -> list[types.Entry]:
    """The entries of a sync: all that there are in the first answer, or those asked for."""
    requests = [entry_pb2.SyncAuthorizedEntriesRequest()]
    if ids:
        requests.append(entry_pb2.SyncAuthorizedEntriesRequest(ids=ids))
    answers: list[Any] = []
    call: Any = EntryStub(agent.channel).SyncAuthorizedEntries(iter(requests))
    async for answer in call:
        answers.append(answer)  # noqa: PERF401 - the stream is not a list
    entries = list(answers[-1].entries)
    return entries or list(answers[0].entries)


@RIGHTS
async def test_from_creation_into_every_answer_and_cache(lab: ApiLab, right: str) -> None:
    agent = await lab.attest()
    made = await create(lab, agent, right)
    assert has(made, right)
    await everywhere(lab, agent, made.id, right)


@RIGHTS
async def test_through_an_update_of_other_fields(lab: ApiLab, right: str) -> None:
    agent = await lab.attest()
    made = await create(lab, agent, right)
    for mask, change in (
        (types.EntryMask(hint=True), {"hint": "h"}),
        (types.EntryMask(x509_svid_ttl=True), {"x509_svid_ttl": 600}),
        (types.EntryMask(dns_names=True), {"dns_names": ["a.example.org"]}),
    ):
        request = entry_pb2.BatchUpdateEntryRequest(
            entries=[types.Entry(id=made.id, **change)],
            input_mask=mask,
        )
        (result,) = (await EntryStub(lab.local).BatchUpdateEntry(request)).results
        assert result.status.code == 0, result
        assert has(result.entry, right)
        await everywhere(lab, agent, made.id, right)


@RIGHTS
async def test_through_an_update_of_everything(lab: ApiLab, right: str) -> None:
    agent = await lab.attest()
    made = await create(lab, agent, right)
    made.hint = "new"
    request = entry_pb2.BatchUpdateEntryRequest(entries=[made])
    (result,) = (await EntryStub(lab.local).BatchUpdateEntry(request)).results
    assert has(result.entry, right)
    await everywhere(lab, agent, made.id, right)


@RIGHTS
async def test_a_right_given_by_an_update_is_there_and_one_taken_is_gone(
    lab: ApiLab, right: str
) -> None:
    agent = await lab.attest()
    made = await create(lab, agent, "store_svid", dns_names=["a.example.org"])
    mask = types.EntryMask(**{right: True})
    for value in (True, False):
        changed = types.Entry(id=made.id, **{right: value})  # type: ignore[arg-type]
        request = entry_pb2.BatchUpdateEntryRequest(entries=[changed], input_mask=mask)
        (result,) = (await EntryStub(lab.local).BatchUpdateEntry(request)).results
        assert has(result.entry, right) is value
        await everywhere(lab, agent, made.id, right if value else "neither")


@RIGHTS
async def test_in_the_answer_that_a_similar_entry_exists(lab: ApiLab, right: str) -> None:
    agent = await lab.attest()
    await create(lab, agent, right)
    request = entry_pb2.BatchCreateEntryRequest(entries=[message(agent, right)])
    (result,) = (await EntryStub(lab.local).BatchCreateEntry(request)).results
    assert result.status.code == 6
    assert has(result.entry, right)


@RIGHTS
async def test_to_a_server_that_follows_the_feed(lab: ApiLab, right: str) -> None:
    agent = await lab.attest()
    follower = FeedReader(FeedStore(lab.db), lab.clock)
    await follower.load()
    following = asyncio.ensure_future(follower.run())
    try:
        made = await create(lab, agent, right)
        await follower.caught_up()
        assert index_knows(lab, follower, right)
        request = entry_pb2.BatchUpdateEntryRequest(
            entries=[types.Entry(id=made.id, hint="h")], input_mask=types.EntryMask(hint=True)
        )
        await EntryStub(lab.local).BatchUpdateEntry(request)
        await follower.caught_up()
        assert index_knows(lab, follower, right)
    finally:
        following.cancel()
