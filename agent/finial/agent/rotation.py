"""When an SVID is renewed: at half of its life, with jitter.

Pure. The jitter spreads a fleet that was started together; it never moves a renewal beyond 55 %
of the life, so that a failing server leaves nearly half of it for retries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

JITTER = 0.1


def rotation_time(received_at: float, not_after: float, rng: random.Random) -> float:
    """Return the Unix time to renew at what was received then and is valid until `not_after`.

    What was loaded from disk is taken as received at its notBefore.
    """
    half = max(not_after - received_at, 0.0) / 2
    return received_at + half * (1 + rng.uniform(-JITTER, JITTER))


def refresh_time(issued_at: float, expires_at: float) -> float:
    """Return the Unix time from which a cached JWT-SVID is refreshed ahead: half of its life."""
    return issued_at + (expires_at - issued_at) / 2


def must_wait_time(issued_at: float, expires_at: float) -> float:
    """Return the Unix time from which a caller waits for a fresh JWT-SVID: the last tenth.

    A token about to expire is of little use; it is handed out only if the server cannot be had.
    """
    return expires_at - (expires_at - issued_at) / 10
