"""The views that exist: found by selectors, kept while listened to, a bounded number when not."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from finial.agent.cache.entries import served_order
from finial.agent.cache.matching import SupersetIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from finial.agent.cache.entries import Entry
    from finial.agent.cache.views import View
    from finial.attestors.selector import Selector

MAX_IDLE_VIEWS = 1024


class ViewTable:
    """Views by selector set, by selector, and by the entries they show."""

    def __init__(self, max_idle: int = MAX_IDLE_VIEWS) -> None:
        self._max_idle = max_idle
        self._views: OrderedDict[frozenset[Selector], View] = OrderedDict()
        self._by_selector: SupersetIndex[View] = SupersetIndex()
        self._by_entry: dict[str, set[View]] = {}

    def __iter__(self) -> Iterator[View]:
        return iter(self._views.values())

    def __len__(self) -> int:
        return len(self._views)

    def get(self, selectors: frozenset[Selector]) -> View | None:
        view = self._views.get(selectors)
        if view is not None:
            self._views.move_to_end(selectors)
        return view

    def add(self, view: View) -> None:
        """Add a view; in exchange the longest unused one that nobody listens to may go."""
        self._views[view.selectors] = view
        self._by_selector.add(view.selectors, view)
        if len(self._views) > self._max_idle:
            idle = next((old for old in self if not old.listened and old is not view), None)
            if idle is not None:
                self._remove(idle)

    def _remove(self, view: View) -> None:
        del self._views[view.selectors]
        self._by_selector.discard(view.selectors, view)
        self.show(view, ())

    def show(self, view: View, matching: Sequence[Entry]) -> None:
        """Set the entries that match a view, and with them those that it serves."""
        for entry in view.matching:
            views = self._by_entry.get(entry.id)
            if views is not None:
                views.discard(view)
                if not views:
                    del self._by_entry[entry.id]
        view.matching = tuple(sorted(matching, key=lambda entry: entry.id))
        view.entries = served_order(matching)
        for entry in matching:
            self._by_entry.setdefault(entry.id, set()).add(view)

    def entitled(self, selectors: frozenset[Selector]) -> list[View]:
        """Return the views that an entry with these selectors concerns."""
        return self._by_selector.containing(selectors)

    def showing(self, entry_ids: Iterable[str]) -> set[View]:
        """Return the views that one of these entries matches."""
        found: set[View] = set()
        for entry_id in entry_ids:
            found |= self._by_entry.get(entry_id, set())
        return found
