"""The X.509-SVIDs the agent holds, by entry id, least recently used first."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from finial.spiffe.x509_svid import X509Svid


@dataclass(slots=True)
class HeldSvid:
    """An SVID and what decides on its replacement; times are Unix seconds."""

    svid: X509Svid
    stamp: tuple[int, int]  # the version of the entry it was issued for
    rotate_at: float
    authority_key_id: bytes  # of the authority in the bundle that the chain ends at
    tainted: bool = False
    revoked: bool = False  # the authority has left the bundle since

    def due(self, stamp: tuple[int, int], now: float) -> bool:
        """Whether it needs a successor now."""
        return self.distrusted or self.due_by_itself(stamp, now)

    def due_by_itself(self, stamp: tuple[int, int], now: float) -> bool:
        """Whether it would need one if its authority were sound."""
        return self.stamp != stamp or now >= self.rotate_at

    @property
    def distrusted(self) -> bool:
        """Whether its authority is not to be relied on any more."""
        return self.tainted or self.revoked


class SvidShelf:
    """Holds one SVID an entry; never hands out one at or past its NotAfter."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, HeldSvid] = OrderedDict()
        self._earliest = math.inf  # no SVID expires before; `expire` is asked on every call

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the entry ids, least recently used first."""
        return iter(self._held)

    def get(self, entry_id: str) -> HeldSvid | None:
        return self._held.get(entry_id)

    def put(self, entry_id: str, held: HeldSvid) -> None:
        self._held[entry_id] = held
        self._held.move_to_end(entry_id)
        self._earliest = min(self._earliest, held.svid.not_after)

    def drop(self, entry_id: str) -> None:
        self._held.pop(entry_id, None)

    def touch(self, entry_ids: Iterable[str]) -> None:
        """Count these as used just now."""
        for entry_id in entry_ids:
            if entry_id in self._held:
                self._held.move_to_end(entry_id)

    def expire(self, now: float) -> set[str]:
        """Drop what has reached its NotAfter; return the entry ids."""
        if now < self._earliest:
            return set()
        gone = {entry_id for entry_id, held in self._held.items() if held.svid.not_after <= now}
        for entry_id in gone:
            del self._held[entry_id]
        self._earliest = min(
            (held.svid.not_after for held in self._held.values()), default=math.inf
        )
        return gone

    def distrust(self, tainted: frozenset[bytes], gone: frozenset[bytes]) -> None:
        """Mark the SVIDs that chain to one of these authorities, by subject key identifier.

        `tainted` are all that are so now, `gone` those that have left the bundle just now.
        """
        for held in self._held.values():
            held.tainted = held.authority_key_id in tainted
            held.revoked = held.revoked or held.authority_key_id in gone

    def next_rotation(self) -> float | None:
        return min((held.rotate_at for held in self._held.values()), default=None)

    def next_expiry(self) -> float | None:
        """Return when `expire` should be called next; it may turn out to have nothing to do."""
        return None if self._earliest == math.inf else self._earliest

    def last_expiry(self) -> float | None:
        return max((held.svid.not_after for held in self._held.values()), default=None)
