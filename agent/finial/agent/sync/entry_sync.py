"""The client's side of SyncAuthorizedEntries.

Up to 500 entries come whole in one answer. Above that the server sends revisions first, in pages,
and the agent asks for the entries it does not have in that version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.agent.sync import convert
from finial.api.spire import types_pb2 as types
from finial.api.spire.server import entry_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from finial.agent.cache.entries import Entry

    class SyncCall(Protocol):
        """A bidirectional call, as the generated stubs return it."""

        async def write(self, request: entry_pb2.SyncAuthorizedEntriesRequest) -> None: ...
        async def read(self) -> object: ...
        async def done_writing(self) -> None: ...


PAGE = 500

_MASK = types.EntryMask(
    spiffe_id=True,
    selectors=True,
    federates_with=True,
    admin=True,
    downstream=True,
    revision_number=True,
    store_svid=True,
    hint=True,
    additional_attributes=True,
    created_at=True,
)


class SyncEndedError(Exception):
    """The server ended the stream in the middle of an answer."""


async def sync_entries(call: SyncCall, known: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return all entries the server authorises, by id; unchanged ones are the known objects.

    Raises RpcError when the call fails, SyncEndedError when it ends too early.
    """
    await call.write(entry_pb2.SyncAuthorizedEntriesRequest(output_mask=_MASK))
    first = await _read(call)
    if first.entry_revisions:
        return await _sync_by_revision(call, first, known)
    messages = list(first.entries)
    while first.more:
        first = await _read(call)
        messages.extend(first.entries)
    await call.done_writing()
    return convert.entries_by_id(messages)


async def _sync_by_revision(
    call: SyncCall, page: entry_pb2.SyncAuthorizedEntriesResponse, known: Mapping[str, Entry]
) -> dict[str, Entry]:
    stamps = {one.id: (one.revision_number, one.created_at) for one in page.entry_revisions}
    while page.more:
        page = await _read(call)
        stamps |= {one.id: (one.revision_number, one.created_at) for one in page.entry_revisions}
    current = {
        entry_id: known[entry_id]
        for entry_id, stamp in stamps.items()
        if entry_id in known and known[entry_id].stamp == stamp
    }
    wanted = sorted(stamps.keys() - current.keys())
    for start in range(0, len(wanted), PAGE):
        ids = wanted[start : start + PAGE]
        await call.write(entry_pb2.SyncAuthorizedEntriesRequest(ids=ids))
        messages: list[types.Entry] = []
        page = await _read(call)
        messages.extend(page.entries)
        while page.more:
            page = await _read(call)
            messages.extend(page.entries)
        current |= convert.entries_by_id(messages)
    await call.done_writing()
    return current


async def _read(call: SyncCall) -> entry_pb2.SyncAuthorizedEntriesResponse:
    answer = await call.read()
    if not isinstance(answer, entry_pb2.SyncAuthorizedEntriesResponse):
        raise SyncEndedError("server ended the entry sync too early")
    return answer
