"""`entry count`."""

from finial.api.spire.server.entry_pb2 import CountEntriesRequest
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.output import counted
from finial.server.cli.admin import admin_command
from finial.server.cli.entry.filters import FILTER_FLAGS, entry_filter


async def count(call: Call) -> None:
    # The two requests have filters of two types with the same fields and numbers.
    wanted = CountEntriesRequest.Filter.FromString(entry_filter(call.values).SerializeToString())
    request = CountEntriesRequest(filter=wanted)
    answer = await EntryStub(call.channel).CountEntries(request, timeout=TIMEOUT)
    text = counted(answer.count, "registration entry", "registration entries")
    call.answer(answer, lambda console: console.show(text))


COMMAND = admin_command("entry count", count, *FILTER_FLAGS)
