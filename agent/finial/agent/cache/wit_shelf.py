"""The WIT-SVIDs the agent holds, by entry id: those that are asked for, and a little longer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from finial.spiffe.wit_svid import WitSvid

LINGER = 60.0
"""Seconds that an SVID is held after the last who asked for it has gone: a workload that asks
again and again, instead of keeping its stream open, does not cost a signature each time."""


@dataclass(slots=True)
class HeldWit:
    """A WIT-SVID with its private key, and what decides on its replacement; Unix seconds."""

    svid: WitSvid
    key_jwk: str = field(repr=False)
    stamp: tuple[int, int]  # the version of the entry it was issued for
    rotate_at: float
    tainted: bool = False
    revoked: bool = False  # the key has left the bundle since
    unused_since: float | None = None  # None: asked for, as far as is known

    def due(self, stamp: tuple[int, int], now: float) -> bool:
        """Whether it needs a successor now."""
        return self.distrusted or self.due_by_itself(stamp, now)

    def due_by_itself(self, stamp: tuple[int, int], now: float) -> bool:
        """Whether it would need one if the key that signed it were sound."""
        return self.stamp != stamp or now >= self.rotate_at

    @property
    def distrusted(self) -> bool:
        """Whether the key that signed it is not to be relied on any more."""
        return self.tainted or self.revoked


class WitShelf:
    """Holds one SVID an entry."""

    def __init__(self) -> None:
        self._held: dict[str, HeldWit] = {}
        self._earliest = math.inf  # no SVID expires before; `expire` is asked on every call

    def get(self, entry_id: str) -> HeldWit | None:
        return self._held.get(entry_id)

    def put(self, entry_id: str, held: HeldWit) -> None:
        self._held[entry_id] = held
        self._earliest = min(self._earliest, held.svid.expires_at)

    def drop(self, entry_id: str) -> None:
        self._held.pop(entry_id, None)

    def clear(self) -> None:
        self._held.clear()

    def touch(self, entry_ids: Iterable[str]) -> None:
        """Count these as asked for just now."""
        for entry_id in entry_ids:
            if (held := self._held.get(entry_id)) is not None:
                held.unused_since = None

    def release(self, wanted: Container[str], now: float) -> None:
        """Note which are asked for, and drop those that have not been for LINGER seconds."""
        for entry_id, held in tuple(self._held.items()):
            if entry_id in wanted:
                held.unused_since = None
            elif held.unused_since is None:
                held.unused_since = now
            elif now >= held.unused_since + LINGER:
                del self._held[entry_id]

    def expire(self, now: float) -> set[str]:
        """Drop what has reached its expiry; return the entry ids."""
        if now < self._earliest:
            return set()
        gone = {entry_id for entry_id, held in self._held.items() if held.svid.expires_at <= now}
        for entry_id in gone:
            del self._held[entry_id]
        self._earliest = min(
            (held.svid.expires_at for held in self._held.values()), default=math.inf
        )
        return gone

    def distrust(self, tainted: frozenset[str], gone: frozenset[str]) -> None:
        """Mark the SVIDs signed by one of these keys.

        `tainted` are all that are so now, `gone` those that have left the bundle just now.
        """
        for held in self._held.values():
            held.tainted = held.svid.key_id in tainted
            held.revoked = held.revoked or held.svid.key_id in gone

    def next_work(self) -> float | None:
        """Return when the next is to be renewed, or let go."""
        times = (
            held.rotate_at if held.unused_since is None else held.unused_since + LINGER
            for held in self._held.values()
        )
        return min(times, default=None)

    def next_expiry(self) -> float | None:
        """Return when `expire` should be called next; it may turn out to have nothing to do."""
        return None if self._earliest == math.inf else self._earliest
