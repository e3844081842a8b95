"""The copy of the federation relationships in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finial.spiffe.federation import Relationship


class RelationshipCache:
    """Relationships by the name of their trust domain; kept current by the feed's reader.

    `changes` is another number after each change.
    """

    def __init__(self) -> None:
        self._relationships: dict[str, Relationship] = {}
        self.changes = 0

    def all(self) -> Mapping[str, Relationship]:
        """Return every relationship; a copy, which later changes leave as it is."""
        return dict(self._relationships)

    def put(self, relationship: Relationship) -> None:
        """Take in a new relationship, or a new form of one."""
        self._relationships[relationship.trust_domain.name] = relationship
        self.changes += 1

    def remove(self, name: str) -> None:
        """Take out the relationship with a trust domain; one that is not there is no error."""
        self._relationships.pop(name, None)
        self.changes += 1

    def replace_all(self, relationships: dict[str, Relationship]) -> None:
        """Take these relationships in place of all there are."""
        self._relationships = relationships
        self.changes += 1
