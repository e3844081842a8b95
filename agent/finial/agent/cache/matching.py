"""Finds selector sets within others without looking at all of them.

An entry is for a caller when the entry's selectors are all among the caller's. Entries share few
distinct selector sets, so sets are indexed, each under one of its selectors: the one that was
rarest when it came. A look-up visits only the sets that are indexed under the caller's selectors.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from finial.attestors.selector import Selector

K = TypeVar("K")


class SubsetIndex(Generic[K]):
    """Keys by selector set; answers which sets lie within a given one."""

    def __init__(self) -> None:
        self._keys: dict[frozenset[Selector], set[K]] = {}
        self._home: dict[frozenset[Selector], Selector] = {}
        self._at: dict[Selector, set[frozenset[Selector]]] = {}
        self._uses: Counter[Selector] = Counter()

    def add(self, selectors: frozenset[Selector], key: K) -> None:
        """Add a key; an empty set would match everybody and is therefore never found."""
        keys = self._keys.get(selectors)
        if keys is not None:
            keys.add(key)
            return
        self._keys[selectors] = {key}
        if not selectors:
            return
        home = min(selectors, key=lambda selector: (self._uses[selector], selector))
        self._home[selectors] = home
        self._at.setdefault(home, set()).add(selectors)
        self._uses.update(selectors)

    def discard(self, selectors: frozenset[Selector], key: K) -> None:
        """Remove a key that was added with these selectors; nothing happens without it."""
        keys = self._keys.get(selectors)
        if keys is None:
            return
        keys.discard(key)
        if keys:
            return
        del self._keys[selectors]
        home = self._home.pop(selectors, None)
        if home is None:
            return
        self._at[home].discard(selectors)
        if not self._at[home]:
            del self._at[home]
        self._uses.subtract(selectors)
        for selector in selectors:
            if not self._uses[selector]:
                del self._uses[selector]

    def within(self, selectors: frozenset[Selector]) -> list[K]:
        """Return the keys whose whole selector set is among the given selectors, in no order."""
        found: list[K] = []
        for selector in selectors:
            for candidate in self._at.get(selector, ()):
                if candidate <= selectors:
                    found.extend(self._keys[candidate])
        return found


class SupersetIndex(Generic[K]):
    """Keys by selector set; answers which sets contain a given one."""

    def __init__(self) -> None:
        self._by_selector: dict[Selector, dict[K, frozenset[Selector]]] = {}

    def add(self, selectors: frozenset[Selector], key: K) -> None:
        for selector in selectors:
            self._by_selector.setdefault(selector, {})[key] = selectors

    def discard(self, selectors: Iterable[Selector], key: K) -> None:
        for selector in selectors:
            keys = self._by_selector.get(selector)
            if keys is not None and keys.pop(key, None) is not None and not keys:
                del self._by_selector[selector]

    def containing(self, selectors: frozenset[Selector]) -> list[K]:
        """Return the keys whose selector set contains all of the given selectors."""
        if not selectors:
            return []
        rarest = min(
            (self._by_selector.get(selector, {}) for selector in selectors),
            key=len,
        )
        return [key for key, having in rarest.items() if selectors <= having]
