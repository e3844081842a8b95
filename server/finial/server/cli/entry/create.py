"""`entry create`."""

from collections.abc import Iterable, Sequence

from finial.api.spire.server.entry_pb2 import BatchCreateEntryRequest
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.api.spire.types_pb2 import Entry
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.files import read_input
from finial.runtime.cli.flags import boolean
from finial.server.cli.admin import admin_command
from finial.server.cli.entry.data_file import entries_from_json
from finial.server.cli.entry.fields import FIELD_FLAGS, check, entry_from_flags
from finial.server.cli.entry.results import EntryResult, tell

NO_PARENT = "a parent ID is required if the node flag is not set"


async def create(call: Call) -> None:
    stub = EntryStub(call.channel)

    async def send(part: Sequence[Entry]) -> Iterable[EntryResult]:
        request = BatchCreateEntryRequest(entries=part)
        return (await stub.BatchCreateEntry(request, timeout=TIMEOUT)).results

    await tell(call, "create", wanted_entries(call), send)


def wanted_entries(call: Call) -> list[Entry]:
    """The entries of the file, else the one of the flags; raises FailureError."""
    if path := call.values.text("data"):
        return entries_from_json(read_input(path, call.console))
    node = call.values.boolean("node")
    check(call.values, node=node, no_parent=NO_PARENT)
    return [entry_from_flags(call.values, node=node)]


COMMAND = admin_command(
    "entry create",
    create,
    *FIELD_FLAGS,
    boolean("node", "The entry is for nodes: an alias for every agent with the selectors"),
)
