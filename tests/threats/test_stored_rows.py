"""A database in which somebody else has written: a row that cannot be read harms only itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from sqlalchemy import text, update

from finial.api.spire.server import svid_pb2
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.api.spire.types_pb2 import PermissionDeniedDetails as Details
from finial.attestors.selector import Selector
from finial.runtime.rpc import RpcError
from finial.server.datastore import agents, bundles, entry_write, schema
from finial.server.datastore.errors import DatabaseDamaged
from finial.server.datastore.feed import FeedStore
from finial.server.registry.feed import FeedReader
from finial.server.registry.model import Entry
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import FakeCa
from tests.fakes.server_api import csr
from tests.threats.test_rights_during_calls import ban, post_status, reason_of

if TYPE_CHECKING:
    from finial.server.datastore.transaction import Transaction
    from tests.fakes.server_api import ApiLab, Attested
    from tests.threats.conftest import Told

CHANGED = "what has changed cannot be read; everything is read anew"
LEFT_OUT = "left out until it is written anew"


async def damage(lab: ApiLab, kind: str, key: str, statement: Any) -> None:
    """Change a row behind the program's back, with its line in the change feed."""

    def work(transaction: Transaction) -> None:
        transaction.change(kind, key)
        assert transaction.execute(statement).rowcount == 1

    await lab.db.write(work)
    await lab.reader.caught_up()


async def add(lab: ApiLab, agent: Attested, path: str) -> Entry:
    wanted = Entry(
        spiffe_id=SpiffeId(f"spiffe://example.org{path}"),
        parent_id=agent.id,
        selectors=(Selector("unix", "uid:1"),),
    )
    (made,) = await lab.entries.create_many([wanted])
    assert isinstance(made, Entry)
    await lab.reader.caught_up()
    return made


async def issue(agent: Attested, *entries: Entry) -> list[int]:
    params = [svid_pb2.NewX509SVIDParams(entry_id=each.id, csr=csr()) for each in entries]
    request = svid_pb2.BatchNewX509SVIDRequest(params=params)
    results = (await SVIDStub(agent.channel).BatchNewX509SVID(request)).results
    return [result.status.code for result in results]


@pytest.mark.parametrize("column", ["selectors", "spiffe_id", "dns_names", "federates_with"])
async def test_an_entry_that_cannot_be_read_is_issued_for_no_more(
    lab: ApiLab, told: Told, column: str
) -> None:
    agent = await lab.attest()
    bad, good = await add(lab, agent, "/bad"), await add(lab, agent, "/good")
    assert await issue(agent, bad, good) == [0, 0]
    row = update(schema.entries).where(schema.entries.c.entry_id == bad.id)
    await damage(lab, entry_write.KIND, bad.id, row.values({column: "{"}))
    assert await issue(agent, bad, good) == [grpc.StatusCode.NOT_FOUND.value[0], 0]
    (first, *_) = told(CHANGED)
    assert first["level"] == "ERROR"
    (named,) = told(LEFT_OUT)
    assert named["level"] == "ERROR"
    assert named["what"].startswith("entry in row ")
    await ban(lab, agent)
    with pytest.raises(RpcError) as refused:
        await post_status(agent.channel)
    assert reason_of(refused.value) == Details.AGENT_BANNED


NOT_UTF_8 = text("CAST(x'ff' AS TEXT)")


@pytest.mark.parametrize("column", ["selectors", "spiffe_id", "hint", "dns_names"])
async def test_an_entry_with_text_that_is_not_utf_8_harms_only_itself(
    lab: ApiLab, told: Told, column: str
) -> None:
    """On the feed, where it is an error of the driver's, and in columns that are not parsed."""
    agent = await lab.attest()
    bad, good = await add(lab, agent, "/bad"), await add(lab, agent, "/good")
    row = update(schema.entries).where(schema.entries.c.entry_id == bad.id)
    await damage(lab, entry_write.KIND, bad.id, row.values({column: NOT_UTF_8}))
    assert await issue(agent, bad, good) == [grpc.StatusCode.NOT_FOUND.value[0], 0]
    (first, *_) = told(CHANGED)
    assert f"the text in column '{column}' is not UTF-8" in first["error"]
    (named,) = told(LEFT_OUT)
    assert named["what"] == f"entry in row {bad.row}: a text is not UTF-8"
    later = await add(lab, agent, "/later")
    assert await issue(agent, later) == [0]
    with pytest.raises(DatabaseDamaged, match="is not UTF-8"):
        await FeedReader(FeedStore(lab.db), lab.clock).load()


async def test_agents_and_bundles_with_text_that_is_not_utf_8_harm_only_themselves(
    lab: ApiLab, told: Told
) -> None:
    bad, good = await lab.attest(), await lab.attest()
    other = FakeCa("other.org")
    await lab.bundles.put(other.bundle())
    row: Any = update(schema.agents).where(schema.agents.c.agent_id == bad.id.uri)
    await damage(lab, agents.KIND, bad.id.uri, row.values(agent_version=NOT_UTF_8))
    row = update(schema.bundles).where(schema.bundles.c.trust_domain == "other.org")
    await damage(lab, bundles.KIND, "other.org", row.values(authorities=NOT_UTF_8))
    with pytest.raises(RpcError) as refused:
        await post_status(bad.channel)
    assert reason_of(refused.value) == Details.AGENT_NOT_ATTESTED
    await post_status(good.channel)
    assert lab.reader.bundles.bundle_for(other.trust_domain) is None
    kinds = {line["what"].split()[0] for line in told(LEFT_OUT)}
    assert kinds == {agents.KIND, bundles.KIND}


async def test_a_line_of_the_feed_that_is_not_utf_8_is_passed_by(lab: ApiLab) -> None:
    late = FeedReader(FeedStore(lab.db), lab.clock)
    await late.load()
    made = await add(lab, await lab.attest(), "/good")
    line = update(schema.change_feed).where(schema.change_feed.c.key == made.id)
    await lab.db.write(lambda transaction: transaction.execute(line.values(key=NOT_UTF_8)))
    following = asyncio.create_task(late.run())
    await late.caught_up()
    assert late.entries.get(made.id) == made
    following.cancel()


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("selectors", DEEP),
        ("selectors", '[["unix", 5]]'),
        ("selectors", '{"unix": "uid:1"}'),
        ("federates_with", DEEP),
        ("federates_with", "[5]"),
        ("dns_names", '{"web": 1}'),
        ("dns_names", '"web"'),
    ],
)
async def test_json_of_another_shape_leaves_its_entry_out(
    lab: ApiLab, told: Told, column: str, value: str
) -> None:
    agent = await lab.attest()
    bad, good = await add(lab, agent, "/bad"), await add(lab, agent, "/good")
    row = update(schema.entries).where(schema.entries.c.entry_id == bad.id)
    await damage(lab, entry_write.KIND, bad.id, row.values({column: value}))
    assert await issue(agent, bad, good) == [grpc.StatusCode.NOT_FOUND.value[0], 0]
    assert told(LEFT_OUT)


async def test_an_agent_whose_record_cannot_be_read_is_unknown_and_others_go_on(
    lab: ApiLab, told: Told
) -> None:
    bad, good = await lab.attest(), await lab.attest()
    row = update(schema.agents).where(schema.agents.c.agent_id == bad.id.uri)
    await damage(lab, agents.KIND, bad.id.uri, row.values(selectors="[1]"))
    with pytest.raises(RpcError) as refused:
        await post_status(bad.channel)
    assert reason_of(refused.value) == Details.AGENT_NOT_ATTESTED
    await post_status(good.channel)
    assert told(LEFT_OUT)


async def test_a_bundle_that_cannot_be_read_is_none(lab: ApiLab, told: Told) -> None:
    other = FakeCa("other.org")
    await lab.bundles.put(other.bundle())
    row = update(schema.bundles).where(schema.bundles.c.trust_domain == "other.org")
    await damage(lab, bundles.KIND, "other.org", row.values(authorities="{}"))
    assert lab.reader.bundles.bundle_for(other.trust_domain) is None
    assert lab.reader.bundles.bundle_for(lab.ca.trust_domain) is not None
    assert told(LEFT_OUT)
    await lab.bundles.put(FakeCa("third.org").bundle())
    await lab.reader.caught_up()
    assert len(lab.reader.bundles) == 2


async def test_a_server_does_not_start_on_a_row_that_cannot_be_read(lab: ApiLab) -> None:
    other = FakeCa("other.org")
    await lab.bundles.put(other.bundle())
    row = update(schema.bundles).where(schema.bundles.c.trust_domain == "other.org")
    await damage(lab, bundles.KIND, "other.org", row.values(authorities="{}"))
    with pytest.raises(DatabaseDamaged, match="not as it was written"):
        await FeedReader(FeedStore(lab.db), lab.clock).load()
