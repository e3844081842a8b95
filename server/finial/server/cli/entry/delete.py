"""`entry delete`."""

from collections.abc import Sequence

from finial.api.spire.server.entry_pb2 import BatchDeleteEntryRequest, BatchDeleteEntryResponse
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.files import read_input
from finial.runtime.cli.flags import text
from finial.server.cli.admin import admin_command
from finial.server.cli.entry.data_file import ids_from_json
from finial.server.cli.entry.results import batches, described


async def delete(call: Call) -> None:
    stub = EntryStub(call.channel)
    results: list[BatchDeleteEntryResponse.Result] = []
    for part in batches(_ids(call)):
        request = BatchDeleteEntryRequest(ids=part)
        results += (await stub.BatchDeleteEntry(request, timeout=TIMEOUT)).results
    call.answer({"results": results}, lambda console: _print(console, results))


def _ids(call: Call) -> list[str]:
    if path := call.values.text("file"):
        return ids_from_json(read_input(path, call.console))
    if entry_id := call.values.text("entryID"):
        return [entry_id]
    raise FailureError("an entry ID is required")


def _print(console: Console, results: Sequence[BatchDeleteEntryResponse.Result]) -> None:
    deleted = [result for result in results if not result.status.code]
    failed = [result for result in results if result.status.code]
    for result in deleted:
        console.show(f"Deleted entry with ID: {result.id}")
    for result in failed:
        console.warn(f"Failed to delete entry with ID {result.id} ({described(result.status)})")
    gap = "\n\n" if results else ""
    if not failed:
        console.show(f"{gap}Deleted {len(deleted)} entries successfully")
        return
    whole = f"Failed to delete {len(failed)} entries"
    if deleted:
        whole = f"Deleted {len(deleted)} entries successfully, but f{whole[1:]}"
    console.show(gap + whole)
    raise FailureError("failed to delete one or more entries")


COMMAND = admin_command(
    "entry delete",
    delete,
    text("entryID", "ID of the entry"),
    text("file", 'JSON file {"ids": [...]} with many; - for standard input'),
)
