"""Which of two bundles of one trust domain is the newer (SPIFFE Federation section 4.2).

The sequence decides where both have one (FED-05). A bundle that is older than the one held is a
copy out of some cache, or an attacker's, and is not taken. A publisher that lost its count, as one
restored from a backup has, is out of step until it has caught up, or until an operator sets the
bundle here: what was set locally is replaced by whatever is fetched next (FED-06).

Where one has no sequence, or both have the same, what was fetched last is taken. SPIRE takes that
in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from finial.spiffe.errors import FederationError

if TYPE_CHECKING:
    from finial.spiffe.bundle import Bundle


class Verdict(Enum):
    """What became of a fetched bundle."""

    TAKEN = auto()
    """It is the latest now."""
    UNCHANGED = auto()
    """It is the one that is held."""
    OUTDATED = auto()
    """It is older than the one that is held, which stays; to be logged."""
    UNCOUNTED = auto()
    """It is taken, though its sequence is that of another content (BND-04); to be logged."""


@dataclass(frozen=True, slots=True)
class Held:
    """The latest bundle of another trust domain.

    Attributes:
        bundle: the bundle.
        is_local: an operator set it; it counts as the latest until the next fetch (FED-06).
    """

    bundle: Bundle
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is held after a fetch.

    Attributes:
        held: the bundle to hold from now on; as a whole one of the two, never of both (FED-07).
        verdict: how it came to that.
    """

    held: Held
    verdict: Verdict


def judge(fetched: Bundle, held: Held | None) -> Outcome:
    """Decide which bundle is the latest: the one just fetched or the one that is held.

    Args:
        fetched: what the endpoint served.
        held: the latest of the same trust domain until now; None when there is none.

    Raises:
        FederationError: the two are of different trust domains (FED-07).
    """
    taken = Outcome(Held(fetched), Verdict.TAKEN)
    if held is None:
        return taken
    if held.bundle.trust_domain != fetched.trust_domain:
        raise FederationError(
            f'a bundle of "{fetched.trust_domain}" is none of "{held.bundle.trust_domain}"'
        )
    same_keys = _keys(fetched) == _keys(held.bundle)
    if same_keys and _counters(fetched) == _counters(held.bundle):
        return Outcome(Held(held.bundle), Verdict.UNCHANGED)
    if held.is_local or not fetched.sequence or not held.bundle.sequence:
        return taken
    if fetched.sequence < held.bundle.sequence:
        return Outcome(held, Verdict.OUTDATED)
    if fetched.sequence == held.bundle.sequence and not same_keys:
        return Outcome(Held(fetched), Verdict.UNCOUNTED)
    return taken


def _keys(bundle: Bundle) -> tuple[frozenset[object], ...]:
    """The authorities in no order: SPIRE writes them in another each time."""
    return (
        frozenset(bundle.x509_authorities),
        frozenset(bundle.jwt_authorities),
        frozenset(bundle.wit_authorities),
    )


def _counters(bundle: Bundle) -> tuple[int, int]:
    return bundle.sequence, bundle.refresh_hint
