"""`entry show`: one entry by its ID, or all that pass the filters."""

from collections.abc import Sequence

from finial.api.spire.server.entry_pb2 import (
    GetEntryRequest,
    ListEntriesRequest,
    ListEntriesResponse,
)
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.api.spire.types_pb2 import Entry
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import text
from finial.runtime.cli.output import counted
from finial.server.cli.admin import admin_command
from finial.server.cli.entry.blocks import entry_block, order
from finial.server.cli.entry.filters import FILTER_FLAGS, Filter, entry_filter

PAGE = 500


async def show(call: Call) -> None:
    entry_id = call.values.text("entryID")
    if entry_id and call.values.given("spiffeID", "parentID", "selector"):
        raise FailureError("the -entryID flag can't be combined with others")
    if entry_id:
        entries = [await _one(call, entry_id)]
    else:
        entries = await _all(call, entry_filter(call.values))
    for entry in entries:
        entry.selectors.sort(key=lambda each: (each.type, each.value))
    answer = ListEntriesResponse(entries=sorted(entries, key=order))
    call.answer(answer, lambda console: _print(console, answer.entries))


async def _one(call: Call, entry_id: str) -> Entry:
    with call.doing(f"error fetching entry ID {entry_id}: "):
        return await EntryStub(call.channel).GetEntry(GetEntryRequest(id=entry_id), timeout=TIMEOUT)


async def _all(call: Call, wanted: Filter) -> list[Entry]:
    stub = EntryStub(call.channel)
    entries: list[Entry] = []
    token = ""
    while True:
        request = ListEntriesRequest(filter=wanted, page_size=PAGE, page_token=token)
        with call.doing("error fetching entries: "):
            page = await stub.ListEntries(request, timeout=TIMEOUT)
        entries += page.entries
        token = page.next_page_token
        if not token:
            return entries


def _print(console: Console, entries: Sequence[Entry]) -> None:
    console.show(f"Found {counted(len(entries), 'entry', 'entries')}")
    for entry in entries:
        console.show(entry_block(entry), end="")


COMMAND = admin_command("entry show", show, text("entryID", "ID of the entry"), *FILTER_FLAGS)
