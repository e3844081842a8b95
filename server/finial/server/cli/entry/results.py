"""What batch calls answered about entries: asked in parts, told as a whole."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import grpc

from finial.api.spire.types_pb2 import Entry, Status
from finial.runtime.cli.client import Call
from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import FailureError, code_name
from finial.server.cli.entry.blocks import entry_block

BATCH = 500
"""Entries a call, so that a file of any length fits into gRPC's messages."""

CODES = {code.value[0]: code_name(code.name) for code in grpc.StatusCode}

T = TypeVar("T")


class EntryResult(Protocol):
    """A result of BatchCreateEntry or BatchUpdateEntry."""

    @property
    def status(self) -> Status: ...
    @property
    def entry(self) -> Entry: ...


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in parts; one empty part for none, so that the server is asked all the same."""
    for start in range(0, max(len(items), 1), BATCH):
        yield items[start : start + BATCH]


def described(status: Status) -> str:
    """`code: NotFound, msg: "entry not found"`."""
    name = CODES.get(status.code) or f"Code({status.code})"
    escaped = status.message.replace("\\", r"\\").replace('"', r"\"")
    return f'code: {name}, msg: "{escaped}"'


async def tell(
    call: Call,
    verb: str,
    entries: Sequence[Entry],
    send: Callable[[Sequence[Entry]], Awaitable[Iterable[EntryResult]]],
) -> None:
    """Send the entries and print what became of each; a failed one is shown as it was asked for.

    Raises FailureError after the output when one failed, unless JSON was asked for.
    """
    outcomes: list[tuple[Status, Entry]] = []
    for part in batches(entries):
        results = await send(part)
        outcomes += [
            (result.status, wanted if result.status.code else result.entry)
            for wanted, result in zip(part, results, strict=True)
        ]
    document = {"results": [{"status": status, "entry": entry} for status, entry in outcomes]}
    call.answer(document, lambda console: _print(console, verb, outcomes))


def _print(console: Console, verb: str, outcomes: Sequence[tuple[Status, Entry]]) -> None:
    for status, entry in outcomes:
        if not status.code:
            console.show(entry_block(entry), end="")
    failed = [outcome for outcome in outcomes if outcome[0].code]
    for status, entry in failed:
        console.warn(f"Failed to {verb} the following entry ({described(status)}):")
        console.warn(entry_block(entry), end="")
    if failed:
        raise FailureError(f"failed to {verb} one or more entries")
