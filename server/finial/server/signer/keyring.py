"""The authorities that a signer holds, by slot and by ID."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.server.signer.refusal import Code, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from finial.server.signer.authority_key import AuthorityKey


class Keyring:
    """One authority a slot; a new one in the slot replaces the old."""

    def __init__(self) -> None:
        self._by_slot: dict[str, AuthorityKey] = {}
        self._by_id: dict[str, AuthorityKey] = {}

    def all(self) -> list[AuthorityKey]:
        """Every authority, by slot."""
        return [self._by_slot[slot] for slot in sorted(self._by_slot)]

    def find(self, authority_id: str, kind: int) -> AuthorityKey:
        """The authority of that ID, if it is of that kind.

        Raises:
            Refused: none is held.
        """
        found = self._by_id.get(authority_id)
        if found is None or found.record.kind != kind:
            raise Refused(Code.UNKNOWN_AUTHORITY, f'no key of authority "{authority_id}" is held')
        return found

    def replace(self, authorities: Iterable[AuthorityKey]) -> None:
        """Hold these and no others."""
        self._by_slot = {each.record.slot: each for each in authorities}
        self._by_id = {each.record.id: each for each in self._by_slot.values()}

    def with_added(self, added: AuthorityKey) -> list[AuthorityKey]:
        """What would be held with one more; nothing changes yet."""
        others = [each for each in self.all() if each.record.slot != added.record.slot]
        return [*others, added]

    def without(self, slot: str, authority_id: str) -> list[AuthorityKey]:
        """What would be held without that authority, if it still has the slot."""
        return [
            each
            for each in self.all()
            if (each.record.slot, each.record.id) != (slot, authority_id)
        ]
