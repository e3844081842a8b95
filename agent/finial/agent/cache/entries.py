"""Registration entries as the agent keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.attestors.selector import Selector
    from finial.spiffe.spiffe_id import SpiffeId
    from finial.spiffe.trust_domain import TrustDomain


@dataclass(frozen=True, slots=True)
class Entry:
    """What the agent needs of a registration entry; `created_at` is in Unix seconds."""

    id: str
    spiffe_id: SpiffeId
    selectors: frozenset[Selector]
    federates_with: tuple[TrustDomain, ...] = ()
    hint: str = ""
    created_at: int = 0
    revision_number: int = 0
    store_svid: bool = False
    prefetch_x509: bool = True
    include_jti: bool = False
    admin: bool = False
    downstream: bool = False

    @property
    def stamp(self) -> tuple[int, int]:
        """What tells one version of an entry from another; an id can be used a second time."""
        return (self.revision_number, self.created_at)

    @property
    def privileged(self) -> bool:
        """Whether its SPIFFE ID has rights at the server: no delegate may have its documents."""
        return self.admin or self.downstream


def served_order(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries as a workload sees them: by entry id, no hint twice.

    Of entries with the same non-empty hint the oldest stays, then the one with the smallest id
    (SPIFFE Workload API, section 5.2.1: hints are unique in a response).
    """
    keeper: dict[str, Entry] = {}
    for entry in entries:
        rival = keeper.get(entry.hint)
        if rival is None or (entry.created_at, entry.id) < (rival.created_at, rival.id):
            keeper[entry.hint] = entry
    kept = (entry for entry in entries if not entry.hint or keeper[entry.hint] is entry)
    return tuple(sorted(kept, key=lambda entry: entry.id))
