"""How often another trust domain's bundle is fetched (SPIFFE Federation section 4.1).

Each attempt, failed or not, waits for the same interval (FED-32). A publisher's hint is followed as
it is (SPIRE asks four times as often), within bounds: it can neither make this server hammer at an
endpoint nor put a withdrawal of keys off for more than a day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finial.spiffe.bundle import Bundle

DEFAULT_INTERVAL = 300
"""Seconds, without a hint (BND-13)."""
SHORTEST_INTERVAL = 10
LONGEST_INTERVAL = 86400


def refresh_interval(latest: Bundle | None) -> int:
    """Seconds from one fetch to the next (FED-03).

    Args:
        latest: the bundle that is held, whose hint counts; None when there is none yet.
    """
    hint = latest.refresh_hint if latest is not None else 0
    return min(max(hint or DEFAULT_INTERVAL, SHORTEST_INTERVAL), LONGEST_INTERVAL)
