"""GetAuthorizedEntries and SyncAuthorizedEntries: how agents keep up with their entries.

An agent with many entries asks for revisions first and then only for those entries that it
lacks. Agents ask every few seconds and the answer seldom changes: while the index hands out the
very same sequence of entries, the encoded answer is the same, too, and is sent again as it is.
What is encoded once is an entry, under the mask that agents ask with: messages that are laid end to
end are one message with the repeated fields of all (protobuf's encoding, "Last One Wins").
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final

from finial.api.spire.server import entry_pb2
from finial.runtime.rpc import ServerContext
from finial.server.api.answers import Answers
from finial.server.api.caller import agent_of
from finial.server.api.entry_codec import encode_entry
from finial.server.api.failure import invalid
from finial.server.api.masks import hidden_fields
from finial.server.registry.index import EntryIndex
from finial.server.registry.model import Agent, Entry
from finial.server.registry.view import AuthorizedView

PAGE: Final = 500
"""Entries, or revisions of entries, in one message."""

_REVISION: Final = "revision_number"
_Response = entry_pb2.SyncAuthorizedEntriesResponse
_MORE: Final = _Response(more=True).SerializeToString()
Requests = AsyncIterator[entry_pb2.SyncAuthorizedEntriesRequest]


class EntrySync:
    """Answers agents; `check_again` raises when the caller of a long stream lost its right.

    A stream may wait for its first message as for any other.
    """

    def __init__(self, index: EntryIndex, check_again: Callable[[ServerContext], None]) -> None:
        self._index = index
        self._check_again = check_again
        self._answers = Answers()
        self._encoded = Answers()

    def all_entries(
        self, request: entry_pb2.GetAuthorizedEntriesRequest, context: ServerContext
    ) -> bytes:
        """Every entry that the agent is authorised for, in one message, serialised."""
        agent = agent_of(context)
        view = self._index.view(agent.id, agent.selectors)
        hidden = tuple(hidden_fields(request, "output_mask"))

        def encode() -> list[bytes]:
            entries = [encode_entry(entry, hidden) for entry in view.entries]
            return [entry_pb2.GetAuthorizedEntriesResponse(entries=entries).SerializeToString()]

        (answer,) = self._answers.get((agent.id, "all", hidden), view, encode)
        return answer

    async def synchronise(self, requests: Requests, context: ServerContext) -> None:
        """Runs one synchronisation, from the agent's mask to its half-close."""
        first = await anext(requests, None)
        if first is None:
            return
        self._check_again(context)
        if first.ids:
            raise invalid("specifying IDs on initial request is not supported")
        hidden = tuple(hidden_fields(first, "output_mask"))
        if _REVISION in hidden:
            raise invalid("revision number cannot be masked")
        agent = agent_of(context)
        view = self._index.view(agent.id, agent.selectors)
        for page in self._overview(agent, view, hidden):
            await context.write(page)
        if len(view) <= PAGE:
            return
        async for request in requests:
            self._check_again(context)
            chosen = self._index.view(agent.id, agent.selectors).pick(request.ids)
            for page in self._entry_pages(chosen, hidden):
                await context.write(page)

    def _overview(
        self, agent: Agent, view: AuthorizedView, hidden: tuple[str, ...]
    ) -> Sequence[bytes]:
        """All entries if they fit one message, else the revisions of all."""

        def encode() -> list[bytes]:
            if len(view) <= PAGE:
                return list(self._entry_pages(view.entries, hidden))
            return list(_revision_pages(view))

        return self._answers.get((agent.id, "sync", hidden), view, encode)

    def _entry_pages(self, entries: Sequence[Entry], hidden: tuple[str, ...]) -> Iterator[bytes]:
        for page, more in _pages(entries):
            parts = [self._encode(entry, hidden) for entry in page]
            yield b"".join([*parts, _MORE] if more else parts)

    def _encode(self, entry: Entry, hidden: tuple[str, ...]) -> bytes:
        """The entry as a message of its own, of those that a page is laid together from."""

        def encode() -> list[bytes]:
            return [_Response(entries=[encode_entry(entry, hidden)]).SerializeToString()]

        (encoded,) = self._encoded.get((entry.id, hidden), entry, encode)
        return encoded


def _pages(items: Sequence[Any]) -> Iterator[tuple[Sequence[Any], bool]]:
    """Pages of `items`, each with whether more follow; one empty page if there are none."""
    for start in range(0, max(len(items), 1), PAGE):
        yield items[start : start + PAGE], start + PAGE < len(items)


def _revision_pages(view: AuthorizedView) -> Iterator[bytes]:
    for page, more in _pages(view.entries):
        revisions = [
            entry_pb2.EntryRevision(
                id=entry.id, revision_number=entry.revision_number, created_at=entry.created_at
            )
            for entry in page
        ]
        yield _Response(entry_revisions=revisions, more=more).SerializeToString()
