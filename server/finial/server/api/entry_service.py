"""The Entry service: registration entries, and what an agent may see of them."""

# The wire names the methods and hands each a context.
# ruff: noqa: N802, ARG002

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import grpc

from finial.api.spire import types_pb2
from finial.api.spire.server import entry_pb2
from finial.api.spire.server.entry_pb2_grpc import EntryServicer
from finial.runtime.observe import Observer
from finial.server.api.convert import OK, ConversionError, status
from finial.server.api.entry_codec import (
    UPDATABLE,
    decode_entry,
    domain_fields,
    encode_entry,
)
from finial.server.api.entry_outcome import failure_status
from finial.server.api.entry_sync import EntrySync
from finial.server.api.failure import invalid, listing_failure, not_found, page_token
from finial.server.api.filters import entry_filter
from finial.server.api.masks import hidden_fields, named_fields
from finial.server.api.settled import Settled
from finial.server.api.short_lives import ShortLives
from finial.server.datastore.entries import EntryStore
from finial.server.registry.errors import InvalidEntry, RegistryError, SimilarEntryExists
from finial.server.registry.index import EntryIndex
from finial.server.registry.model import Entry
from finial.spiffe.trust_domain import TrustDomain

_NO_ID: Final = status(grpc.StatusCode.INVALID_ARGUMENT, "missing entry ID")
_UNKNOWN: Final = status(grpc.StatusCode.NOT_FOUND, "entry not found")

Wanted = Entry | types_pb2.Status
"""An entry of a request as it was understood, or why it wasn't."""


class EntryService(EntryServicer):
    """Lists come from the store, single entries from the index, writes go to the store.

    A write is answered when the index shows it: who creates an entry finds it at once.
    """

    def __init__(
        self,
        *,
        trust_domain: TrustDomain,
        store: EntryStore,
        index: EntryIndex,
        settled: Settled,
        sync: EntrySync,
        observer: Observer,
        short_lives: ShortLives,
    ) -> None:
        self._own = trust_domain
        self._store = store
        self._index = index
        self._settled = settled
        self._sync = sync
        self._observer = observer
        self._short_lives = short_lives

    async def CountEntries(
        self, request: entry_pb2.CountEntriesRequest, context: Any
    ) -> entry_pb2.CountEntriesResponse:
        try:
            count = await self._store.count(entry_filter(request.filter, self._own))
        except ConversionError as error:
            raise invalid(str(error)) from None
        except RegistryError as error:
            raise listing_failure("entries", error, "count") from None
        return entry_pb2.CountEntriesResponse(count=count)

    async def ListEntries(
        self, request: entry_pb2.ListEntriesRequest, context: Any
    ) -> entry_pb2.ListEntriesResponse:
        try:
            wanted = entry_filter(request.filter, self._own)
            page = await self._store.list(wanted, request.page_size, page_token(request))
        except ConversionError as error:
            raise invalid(str(error)) from None
        except RegistryError as error:
            raise listing_failure("entries", error) from None
        hidden = hidden_fields(request, "output_mask")
        return entry_pb2.ListEntriesResponse(
            entries=[encode_entry(entry, hidden) for entry in page.items],
            next_page_token=page.next_page_token,
        )

    def GetEntry(self, request: entry_pb2.GetEntryRequest, context: Any) -> types_pb2.Entry:
        if not request.id:
            raise invalid("missing ID")
        entry = self._index.get(request.id)
        if entry is None:
            raise not_found("entry not found")
        return encode_entry(entry, hidden_fields(request, "output_mask"))

    async def BatchCreateEntry(
        self, request: entry_pb2.BatchCreateEntryRequest, context: Any
    ) -> entry_pb2.BatchCreateEntryResponse:
        items = [self._decode(message, UPDATABLE) for message in request.entries]
        outcomes = await self._store.create_many([i for i in items if isinstance(i, Entry)])
        await self._settled()
        hidden = hidden_fields(request, "output_mask")
        response = entry_pb2.BatchCreateEntryResponse()
        for outcome in _woven(items, outcomes):
            self._record("created", outcome)
            self._warn(outcome)
            result = response.results.add(status=_status("create", outcome))
            shown = outcome.existing if isinstance(outcome, SimilarEntryExists) else outcome
            if isinstance(shown, Entry):
                result.entry.CopyFrom(encode_entry(shown, hidden))
        return response

    async def BatchUpdateEntry(
        self, request: entry_pb2.BatchUpdateEntryRequest, context: Any
    ) -> entry_pb2.BatchUpdateEntryResponse:
        named = named_fields(request, "input_mask")
        mask = domain_fields(named)
        items = [self._decode(message, named) for message in request.entries]
        outcomes = await self._store.update_many(
            [(item, mask) for item in items if isinstance(item, Entry)]
        )
        await self._settled()
        hidden = hidden_fields(request, "output_mask")
        response = entry_pb2.BatchUpdateEntryResponse()
        for outcome in _woven(items, outcomes):
            self._record("updated", outcome)
            self._warn(outcome)
            result = response.results.add(status=_status("update", outcome))
            if isinstance(outcome, Entry):
                result.entry.CopyFrom(encode_entry(outcome, hidden))
        return response

    async def BatchDeleteEntry(
        self, request: entry_pb2.BatchDeleteEntryRequest, context: Any
    ) -> entry_pb2.BatchDeleteEntryResponse:
        deleted = iter(await self._store.delete_many([i for i in request.ids if i]))
        await self._settled()
        response = entry_pb2.BatchDeleteEntryResponse()
        for entry_id in request.ids:
            outcome = next(deleted) if entry_id else _NO_ID
            self._record("deleted", outcome)
            if isinstance(outcome, Entry):
                response.results.add(status=OK, id=entry_id)
            else:
                response.results.add(status=_UNKNOWN if entry_id else _NO_ID, id=entry_id)
        return response

    def GetAuthorizedEntries(
        self, request: entry_pb2.GetAuthorizedEntriesRequest, context: Any
    ) -> Any:
        return self._sync.all_entries(request, context)

    async def SyncAuthorizedEntries(  # type: ignore[override]  # a coroutine that writes
        self,
        request_iterator: AsyncIterator[entry_pb2.SyncAuthorizedEntriesRequest],
        context: Any,
    ) -> None:
        await self._sync.synchronise(request_iterator, context)

    def _decode(self, message: types_pb2.Entry, named: frozenset[str]) -> Wanted:
        try:
            return decode_entry(message, named, self._own)
        except (ConversionError, InvalidEntry) as error:
            text = f"failed to convert entry: {error}"
            return status(grpc.StatusCode.INVALID_ARGUMENT, text)

    def _record(self, what: str, outcome: object) -> None:
        # Without the parent: it may name an agent to come by a join token that is still good.
        if isinstance(outcome, Entry):
            self._observer.act(
                f"entry {what}", entry_id=outcome.id, spiffe_id=outcome.spiffe_id.uri
            )

    def _warn(self, outcome: object) -> None:
        if isinstance(outcome, Entry):
            self._short_lives.warn(outcome)


Outcome = Entry | RegistryError | types_pb2.Status


def _woven(items: Sequence[Wanted], outcomes: Sequence[Entry | RegistryError]) -> Iterator[Outcome]:
    """One outcome for each item, in order: those that never reached the store keep theirs."""
    stored = iter(outcomes)
    for item in items:
        yield next(stored) if isinstance(item, Entry) else item


def _status(verb: str, outcome: Outcome) -> types_pb2.Status:
    if isinstance(outcome, Entry):
        return OK
    return outcome if isinstance(outcome, types_pb2.Status) else failure_status(verb, outcome)
