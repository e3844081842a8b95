"""What one agent may have: the entries that it is authorised for, ready to be sent."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from finial.attestors.selector import Selector
    from finial.server.registry.model import Entry

T = TypeVar("T")

_by_id = attrgetter("id")


class AuthorizedView:
    """The authorised entries of one agent, sorted by entry ID. Immutable once it is handed out.

    `version` grows when the answer for this agent changes, and is the same while it does not.
    """

    __slots__ = ("_by_id", "_derived", "entries", "version")

    def __init__(self, entries: tuple[Entry, ...], version: int) -> None:
        self.entries = entries
        self.version = version
        self._by_id: dict[str, Entry] | None = None
        self._derived: dict[Callable[[AuthorizedView], Any], Any] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    @property
    def revisions(self) -> tuple[tuple[str, int, int], ...]:
        """Entry ID, revision number and creation time of each entry, sorted by ID."""
        return self.derive(_revisions_of)

    def get(self, entry_id: str) -> Entry | None:
        """Return the entry of that ID, if the agent may have it."""
        if self._by_id is None:
            self._by_id = {entry.id: entry for entry in self.entries}
        return self._by_id.get(entry_id)

    def pick(self, entry_ids: Iterable[str]) -> list[Entry]:
        """Return those of the entries that the agent may have, sorted by ID, each once."""
        found = (self.get(entry_id) for entry_id in set(entry_ids))
        return sorted((entry for entry in found if entry is not None), key=_by_id)

    def derive(self, make: Callable[[AuthorizedView], T]) -> T:
        """Return what `make` makes of the view, made once: serialised pages, say.

        `make` is the key, so it must be one function, not a new one each time.
        """
        if make not in self._derived:
            self._derived[make] = make(self)
        result: T = self._derived[make]
        return result


def _revisions_of(view: AuthorizedView) -> tuple[tuple[str, int, int], ...]:
    return tuple((e.id, e.revision_number, e.created_at) for e in view.entries)


class CachedView:
    """An agent's view as the index keeps it: the last one, and what has changed since.

    Changes are collected and merged when somebody asks, once for however many there were.
    """

    __slots__ = ("_changes", "_given", "selectors", "view")

    def __init__(self, view: AuthorizedView, node_selectors: Collection[Selector]) -> None:
        self.view = view
        self.selectors = frozenset(node_selectors)
        self._given = node_selectors
        self._changes: dict[str, Entry | None] = {}

    def is_for(self, node_selectors: Collection[Selector]) -> bool:
        """Whether the view was made for these node selectors."""
        return self._given is node_selectors or self.selectors == frozenset(node_selectors)

    def note(self, entry_id: str, entry: Entry | None) -> None:
        """Put an entry in, or take it out with None."""
        self._changes[entry_id] = entry

    def current(self, version: int) -> AuthorizedView:
        """Return the view with all changes in it; `version` is the one to give if there are any."""
        if self._changes:
            changes, self._changes = self._changes, {}
            merged = list(self.view.entries)
            differs = [_merge(merged, *change) for change in changes.items()]
            if any(differs):
                self.view = AuthorizedView(tuple(merged), version)
        return self.view


def _merge(entries: list[Entry], entry_id: str, entry: Entry | None) -> bool:
    """Put an entry into a list sorted by ID, or take it out with None; False if that is as it was.

    Moving the list's tail costs far less than looking at each of its entries.
    """
    at = bisect_left(entries, entry_id, key=_by_id)
    there = entries[at] if at < len(entries) and entries[at].id == entry_id else None
    if there == entry:
        return False
    entries[at : at + (there is not None)] = [] if entry is None else [entry]
    return True
