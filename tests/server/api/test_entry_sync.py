"""What agents are told of their entries."""

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc
import pytest

from finial.api.spire import types_pb2
from finial.api.spire.server import agent_pb2, entry_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.attestors.selector import Selector
from finial.runtime.rpc import RpcError
from finial.server.api.convert import encode_spiffe_id
from finial.server.registry.model import Entry
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.server_api import ApiLab, Attested

Request = entry_pb2.SyncAuthorizedEntriesRequest
Response = entry_pb2.SyncAuthorizedEntriesResponse
UNIX = (Selector("unix", "uid:1"),)


class Sync:
    """One synchronisation, message by message."""

    def __init__(self, agent: Attested) -> None:
        self._call: Any = EntryStub(agent.channel).SyncAuthorizedEntries()

    async def say(self, **fields: Any) -> None:
        await self._call.write(Request(**fields))

    async def hear(self) -> Response:
        """The next message."""
        heard = await self._call.read()
        assert isinstance(heard, Response), heard
        return heard

    async def ask(self, **fields: Any) -> Response:
        """Write and read: which of the two hears of a refusal is a matter of timing."""
        await self.say(**fields)
        return await self.hear()

    async def answer(self) -> list[Response]:
        """Messages up to the one with nothing after it."""
        heard = [await self.hear()]
        while heard[-1].more:
            heard.append(await self.hear())
        return heard

    async def end(self) -> None:
        """The server has nothing more to say, and is content."""
        await self._call.done_writing()
        assert await self._call.read() is grpc.aio.EOF
        assert await self._call.code() is grpc.StatusCode.OK


async def add(lab: ApiLab, parent: SpiffeId, paths: Iterable[str]) -> list[Entry]:
    wanted = [
        Entry(spiffe_id=SpiffeId(f"spiffe://example.org{p}"), parent_id=parent, selectors=UNIX)
        for p in paths
    ]
    stored = await lab.entries.create_many(wanted)
    await lab.reader.caught_up()
    assert all(isinstance(entry, Entry) for entry in stored)
    return [entry for entry in stored if isinstance(entry, Entry)]


@pytest.fixture
async def agent(lab: ApiLab) -> Attested:
    return await lab.attest()


async def test_an_agent_without_entries_gets_one_empty_message(
    agent: Attested,
) -> None:
    sync = Sync(agent)
    await sync.say()
    assert await sync.answer() == [Response()]
    await sync.end()


async def test_up_to_five_hundred_entries_come_in_one_message(lab: ApiLab, agent: Attested) -> None:
    made = await add(lab, agent.id, (f"/w{number}" for number in range(500)))
    sync = Sync(agent)
    await sync.say(output_mask=types_pb2.EntryMask(spiffe_id=True, revision_number=True))
    (answer,) = await sync.answer()
    assert {entry.id for entry in answer.entries} == {entry.id for entry in made}
    assert not answer.entries[0].selectors
    await sync.end()


async def test_more_come_as_revisions_and_then_by_id(lab: ApiLab, agent: Attested) -> None:
    made = await add(lab, agent.id, (f"/w{number}" for number in range(1001)))
    sync = Sync(agent)
    await sync.say(output_mask=types_pb2.EntryMask(revision_number=True, hint=True))
    pages = await sync.answer()
    assert [len(page.entry_revisions) for page in pages] == [500, 500, 1]
    assert not any(page.entries for page in pages)
    told = {(r.id, r.revision_number, r.created_at) for p in pages for r in p.entry_revisions}
    assert told == {(e.id, e.revision_number, e.created_at) for e in made}
    await sync.say(
        ids=["unknown"], output_mask=types_pb2.EntryMask(revision_number=True, admin=True)
    )
    assert await sync.answer() == [Response()]
    await sync.say(ids=[made[3].id, made[1].id, "unknown", made[3].id])
    (answer,) = await sync.answer()
    assert [entry.id for entry in answer.entries] == sorted([made[1].id, made[3].id])
    await sync.say(ids=[entry.id for entry in made])
    assert [len(page.entries) for page in await sync.answer()] == [500, 500, 1]
    await sync.end()


async def test_an_entry_of_another_agent_is_not_given(lab: ApiLab, agent: Attested) -> None:
    await add(lab, agent.id, (f"/w{number}" for number in range(501)))
    other = await lab.attest()
    (secret,) = await add(lab, other.id, ["/secret"])
    sync = Sync(agent)
    await sync.say()
    await sync.answer()
    await sync.say(ids=[secret.id])
    assert await sync.answer() == [Response()]
    await sync.end()


async def test_what_was_said_changes_with_the_entries(lab: ApiLab, agent: Attested) -> None:
    for paths in (["/one"], ["/two"]):
        await add(lab, agent.id, paths)
        sync = Sync(agent)
        await sync.say()
        (answer,) = await sync.answer()
        assert paths[0] in {entry.spiffe_id.path for entry in answer.entries}
        everything = await EntryStub(agent.channel).GetAuthorizedEntries(
            entry_pb2.GetAuthorizedEntriesRequest()
        )
        assert everything.entries == answer.entries


async def test_masks_do_not_mix(lab: ApiLab, agent: Attested) -> None:
    (made,) = await add(lab, agent.id, ["/one"])
    stub = EntryStub(agent.channel)
    for _ in range(2):
        for mask in (types_pb2.EntryMask(), types_pb2.EntryMask(admin=True, spiffe_id=True)):
            request = entry_pb2.GetAuthorizedEntriesRequest(output_mask=mask)
            (entry,) = (await stub.GetAuthorizedEntries(request)).entries
            assert entry.HasField("spiffe_id") == mask.spiffe_id
            assert entry.id == made.id


async def test_entries_under_a_node_entry_are_authorised(lab: ApiLab) -> None:
    alias = types_pb2.SPIFFEID(trust_domain="example.org", path="/rack/7")
    request = agent_pb2.CreateJoinTokenRequest(ttl=60, agent_id=alias)
    token = await AgentStub(lab.local).CreateJoinToken(request)
    (made,) = await add(lab, SpiffeId("spiffe://example.org/rack/7"), ["/web"])
    agent = await lab.attest(token=token.value)
    sync = Sync(agent)
    await sync.say()
    (answer,) = await sync.answer()
    assert {entry.spiffe_id.path for entry in answer.entries} == {"/rack/7", "/web"}
    assert made.id in {entry.id for entry in answer.entries}


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"ids": ["x"]}, "specifying IDs on initial request is not supported"),
        (
            {"output_mask": types_pb2.EntryMask(spiffe_id=True)},
            "revision number cannot be masked",
        ),
    ],
)
async def test_a_wrong_first_message_is_refused(
    agent: Attested, request_: dict[str, Any], text: str
) -> None:
    sync = Sync(agent)
    await sync.say(**request_)
    with pytest.raises(RpcError) as refused:
        await sync.hear()
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == text


async def test_a_ban_ends_a_synchronisation_that_is_under_way(lab: ApiLab, agent: Attested) -> None:
    made = await add(lab, agent.id, (f"/w{number}" for number in range(501)))
    sync = Sync(agent)
    await sync.say()
    await sync.answer()
    ban = agent_pb2.BanAgentRequest(id=encode_spiffe_id(agent.id))
    await AgentStub(lab.local).BanAgent(ban)
    with pytest.raises(RpcError) as refused:
        await sync.ask(ids=[made[0].id])
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_ban_counts_for_a_stream_that_has_not_yet_asked(
    lab: ApiLab, agent: Attested, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(lab, agent.id, ["/secret"])
    admitted, admit = asyncio.Event(), lab.api.gate.admit

    def noted(context: Any) -> None:
        admit(context)
        admitted.set()

    monkeypatch.setattr(lab.api.gate, "admit", noted)
    sync = Sync(agent)
    await admitted.wait()
    ban = agent_pb2.BanAgentRequest(id=encode_spiffe_id(agent.id))
    await AgentStub(lab.local).BanAgent(ban)
    with pytest.raises(RpcError) as refused:
        await sync.ask()
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_an_agent_may_hang_up_at_once(agent: Attested) -> None:
    sync = Sync(agent)
    await sync.end()
