"""When to try again to connect."""

from __future__ import annotations

import time

_FIRST = 0.2
_LONGEST = 3.0


class Backoff:
    """Doubles the pause after each failure. Used by the one thread that connects."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._until = 0.0
        self.reason = ""

    def failed(self, reason: str) -> None:
        """Begin a pause."""
        self.reason = reason
        self._pause = min(_LONGEST, 2 * self._pause or _FIRST)
        self._until = time.monotonic() + self._pause

    def succeeded(self) -> None:
        """Forget what was."""
        self._pause = self._until = 0.0
        self.reason = ""

    @property
    def left(self) -> float:
        """Seconds until the next attempt."""
        return max(0.0, self._until - time.monotonic())
