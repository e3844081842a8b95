"""How fast SVIDs are replaced that nothing is wrong with but the authority they come from.

A tainted authority makes every SVID of every agent due at one moment. They are still valid: the
server is given time, and what is new or about to expire goes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from finial.agent.cache.entries import Entry

AT_ONCE = 100
EVERY = 1.0
"""Seconds for which AT_ONCE are enough; SPIRE's agent takes five."""


class Pace:
    """Holds back what can wait; pure, `now` is of a monotonic clock."""

    def __init__(self) -> None:
        self._left = AT_ONCE
        self._renewed_at = 0.0
        self.held_back = False

    def choose(
        self, due: Sequence[Entry], can_wait: Callable[[Entry], bool], now: float
    ) -> list[Entry]:
        """Return those whose turn it is, in their order; `held_back` says if there are more."""
        if now >= self._renewed_at:
            self._left, self._renewed_at = AT_ONCE, now + EVERY
        chosen: list[Entry] = []
        self.held_back = False
        for entry in due:
            if not can_wait(entry):
                chosen.append(entry)
            elif self._left > 0:
                self._left -= 1
                chosen.append(entry)
            else:
                self.held_back = True
        return chosen

    def wait(self, now: float) -> float:
        """Return the seconds until it is the turn of those that were held back."""
        return max(self._renewed_at - now, 0.0)
