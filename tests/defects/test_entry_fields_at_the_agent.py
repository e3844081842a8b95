"""What an entry says of itself survives every way that it takes through the agent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from finial.agent.cache.entries import Entry
from finial.agent.cache.views import DelegatedTopic
from finial.agent.cache.workloads import Workloads
from finial.agent.sync.entry_sync import sync_entries
from finial.api.spire import types_pb2 as types
from finial.api.spire.server import entry_pb2
from finial.attestors.selector import Selector
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import NOW, FakeCa

if TYPE_CHECKING:
    from collections.abc import Mapping

CA = FakeCa()
ROOT = (Selector("unix", "uid:0"),)
ATTRIBUTES = types.Entry.AdditionalAttributes
# A field as the server has it, and what it makes of the agent's entry.
FIELDS = [
    ({"admin": True}, {"admin": True}),
    ({"downstream": True}, {"downstream": True}),
    ({"store_svid": True}, {"store_svid": True}),
    ({"hint": "h"}, {"hint": "h"}),
    (
        {"additional_attributes": ATTRIBUTES(disable_x509_svid_prefetch=True)},
        {"prefetch_x509": False},
    ),
    (
        {"additional_attributes": ATTRIBUTES(jwt_svid_include_jti=True)},
        {"include_jti": True},
    ),
]
EACH = pytest.mark.parametrize(("sent", "kept"), FIELDS, ids=[str(kept) for _, kept in FIELDS])


def message(**fields: object) -> types.Entry:
    return types.Entry(
        id="a",
        spiffe_id=types.SPIFFEID(trust_domain="example.org", path="/a"),
        selectors=[types.Selector(type="unix", value="uid:0")],
        created_at=5,
        **fields,  # type: ignore[arg-type]
    )


def plain() -> Entry:
    return Entry("a", SpiffeId("spiffe://example.org/a"), frozenset(ROOT), created_at=5)


class Server:
    """The other end of a sync: gives what it is asked for and no field more."""

    def __init__(self, entries: list[types.Entry], *, by_revision: bool = False) -> None:
        self._entries = {entry.id: entry for entry in entries}
        self._by_revision = by_revision
        self._mask = types.EntryMask()
        self._answers: list[entry_pb2.SyncAuthorizedEntriesResponse] = []
        self.asked: list[str] = []

    async def write(self, request: entry_pb2.SyncAuthorizedEntriesRequest) -> None:
        response = entry_pb2.SyncAuthorizedEntriesResponse
        if request.HasField("output_mask"):
            self._mask = request.output_mask
        if self._by_revision and not request.ids:
            revisions = [
                entry_pb2.EntryRevision(
                    id=each.id, revision_number=each.revision_number, created_at=each.created_at
                )
                for each in self._entries.values()
            ]
            self._answers.append(response(entry_revisions=revisions))
            return
        self.asked += request.ids
        wanted = request.ids or list(self._entries)
        masked = [self._masked(self._entries[entry_id]) for entry_id in wanted]
        self._answers.append(response(entries=masked))

    def _masked(self, entry: types.Entry) -> types.Entry:
        masked = types.Entry()
        masked.CopyFrom(entry)
        for field in types.EntryMask.DESCRIPTOR.fields:
            if not getattr(self._mask, field.name):
                masked.ClearField(field.name)  # type: ignore[arg-type]
        return masked

    async def read(self) -> object:
        return self._answers.pop(0)

    async def done_writing(self) -> None:
        assert not self._answers


@EACH
async def test_a_sync_asks_for_it_and_keeps_it(
    sent: Mapping[str, object], kept: Mapping[str, object]
) -> None:
    wanted = {"a": replace(plain(), **kept)}  # type: ignore[arg-type]
    assert await sync_entries(Server([message(**sent)]), {}) == wanted
    server = Server([message(**sent)], by_revision=True)
    known = await sync_entries(server, {})
    assert known == wanted
    again = Server([message(**sent)], by_revision=True)
    assert await sync_entries(again, known) == wanted
    assert again.asked == []


@EACH
async def test_a_change_of_it_alone_reaches_the_cache(
    sent: Mapping[str, object], kept: Mapping[str, object]
) -> None:
    cache = Workloads(CA.trust_domain)
    known = await sync_entries(Server([message()], by_revision=True), {})
    assert cache.replace_entries(known) == 1
    server = Server([message(revision_number=1, **sent)], by_revision=True)
    changed = await sync_entries(server, cache.entries)
    assert cache.replace_entries(changed) == 1
    assert cache.entries["a"] == replace(plain(), revision_number=1, **kept)  # type: ignore[arg-type]


def test_a_hint_reaches_both_kinds_of_streams() -> None:
    cache = Workloads(CA.trust_domain)
    cache.replace_bundles({CA.trust_domain: CA.bundle()})
    entry = replace(plain(), hint="h")
    cache.replace_entries({"a": entry})
    cache.put_svids([(entry, CA.issue(entry.spiffe_id), NOW + 10)])
    view = cache.view(ROOT)
    assert [each.hint for each in view.entries] == ["h"]
    assert [each.hint for each in cache.delegations.entries_of(view)] == ["h"]


def test_an_entry_that_is_for_a_store_from_now_on_keeps_nothing_here() -> None:
    cache = Workloads(CA.trust_domain)
    cache.replace_bundles({CA.trust_domain: CA.bundle()})
    cache.replace_entries({"a": plain()})
    cache.put_svids([(plain(), CA.issue(plain().spiffe_id), NOW + 10)])
    view = cache.view(ROOT)
    cache.replace_entries({"a": replace(plain(), revision_number=1, store_svid=True)})
    assert (view.entries, view.matching) == ((), ())
    assert cache.svid_count() == 0
    assert cache.due(NOW + 3000) == []


def test_without_prefetch_an_svid_is_ordered_for_whoever_listens_only() -> None:
    class Listener:
        def changed(self, outcome: object) -> None: ...

    cache = Workloads(CA.trust_domain)
    cache.replace_entries({"a": replace(plain(), prefetch_x509=False)})
    assert cache.due(NOW) == []
    cache.delegations.listen(cache.view(ROOT), DelegatedTopic.X509_SVIDS, Listener())
    assert [each.id for each in cache.due(NOW)] == ["a"]
