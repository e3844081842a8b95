"""`entry update`: replaces an entry; what is not given returns to its default."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from finial.api.spire.server.entry_pb2 import BatchUpdateEntryRequest, GetEntryRequest
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.api.spire.types_pb2 import Entry
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.files import read_input
from finial.server.cli.admin import admin_command
from finial.server.cli.entry.data_file import entries_from_json
from finial.server.cli.entry.fields import (
    ATTRIBUTE_FLAGS,
    FIELD_FLAGS,
    check,
    entry_from_flags,
)
from finial.server.cli.entry.results import EntryResult, tell

if TYPE_CHECKING:
    from finial.api.spire.server.entry_pb2_grpc import EntryAsyncStub


async def update(call: Call) -> None:
    stub = EntryStub(call.channel)

    async def send(part: Sequence[Entry]) -> Iterable[EntryResult]:
        request = BatchUpdateEntryRequest(entries=part)
        return (await stub.BatchUpdateEntry(request, timeout=TIMEOUT)).results

    await tell(call, "update", await _wanted(call, stub), send)


async def _wanted(call: Call, stub: "EntryAsyncStub") -> list[Entry]:
    if path := call.values.text("data"):
        return entries_from_json(read_input(path, call.console))
    if not call.values.text("entryID"):
        raise FailureError("entry ID is required")
    check(call.values, node=False, no_parent="a parent ID is required")
    entry = entry_from_flags(call.values, node=False)
    if call.values.given(*ATTRIBUTE_FLAGS):
        await _merge_attributes(call, stub, entry)
    return [entry]


async def _merge_attributes(call: Call, stub: "EntryAsyncStub", entry: Entry) -> None:
    """Keep the one of the two attributes that no flag names."""
    with call.doing("failed to fetch existing entry to merge additional attributes: "):
        stored = await stub.GetEntry(GetEntryRequest(id=entry.id), timeout=TIMEOUT)
    prefetch_flag, jti_flag = ATTRIBUTE_FLAGS
    entry.additional_attributes.CopyFrom(stored.additional_attributes)
    if call.values.given(prefetch_flag):
        value = call.values.boolean(prefetch_flag)
        entry.additional_attributes.disable_x509_svid_prefetch = value
    if call.values.given(jti_flag):
        entry.additional_attributes.jwt_svid_include_jti = call.values.boolean(jti_flag)


COMMAND = admin_command("entry update", update, *FIELD_FLAGS)
