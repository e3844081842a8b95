"""A map from a key to the entries that have it, small where a key has only one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection

    from finial.server.registry.model import Entry

K = TypeVar("K")


class MultiMap(Generic[K]):
    """Entries by key. Most keys have one entry, and a collection for each would double the cost."""

    __slots__ = ("_map",)

    def __init__(self) -> None:
        self._map: dict[K, Entry | dict[str, Entry]] = {}

    def get(self, key: K) -> Collection[Entry]:
        """Return the entries of a key; not to be held across a change."""
        found = self._map.get(key)
        if found is None:
            return ()
        return found.values() if isinstance(found, dict) else (found,)

    def has(self, key: K) -> bool:
        """Whether a key has any entry."""
        return key in self._map

    def count(self, key: K) -> int:
        """Return how many entries a key has."""
        return len(self.get(key))

    def add(self, key: K, entry: Entry) -> None:
        """Add an entry, in place of the form of it that is there."""
        found = self._map.get(key)
        if found is None:
            self._map[key] = entry
        elif isinstance(found, dict):
            found[entry.id] = entry
        elif found.id == entry.id:
            self._map[key] = entry
        else:
            self._map[key] = {found.id: found, entry.id: entry}

    def discard(self, key: K, entry: Entry) -> None:
        """Remove an entry; one that is not there is no error."""
        found = self._map.get(key)
        if isinstance(found, dict):
            found.pop(entry.id, None)
            if not found:
                del self._map[key]
        elif found is not None and found.id == entry.id:
            del self._map[key]
