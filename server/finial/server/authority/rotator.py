"""When an authority does what: a pure state machine over one kind of authority.

An authority is prepared at half of the active one's life, so that it is in every bundle long
before it signs; activated when a sixth of that life is left; then old, and in the bundle until a
day after its end. One whose key is lost signs nothing more, so it is needed only until the last
SVID it signed has expired, and not at all if it signed none: this is what keeps bundles short
when a server with the key manager `memory` is restarted again and again.

Times are Unix seconds; `now` is always an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

DAY = 86_400
LONGEST_PREPARATION = 30 * DAY
LONGEST_ACTIVATION = 7 * DAY
KEPT_AFTER_EXPIRY = DAY
LEEWAY = 120
"""Seconds after its expiry for which a verifier may still take an SVID (JWT-SVID section 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """One authority, whatever its kind.

    Attributes:
        id: X.509: lower case hex of the subject key identifier; JWT and WIT: the key ID.
        slot: where its key lies, or lay.
        signed_until: no SVID that it signed ends later; 0 when it has signed none.
        lost: its key is gone.
        tainted: what it signed is to be replaced; it never signs again.
        revoked: it is out of the bundle for good; nothing that it signed is valid any more.
    """

    id: str
    slot: str
    not_before: int
    not_after: int
    signed_until: int = 0
    lost: bool = False
    tainted: bool = False
    revoked: bool = False

    @property
    def prepare_next_at(self) -> float:
        """When its successor is prepared, if this one is active."""
        life = self.not_after - self.not_before
        return self.not_after - min(life / 2, LONGEST_PREPARATION)

    @property
    def activate_next_at(self) -> float:
        """When its successor takes over, if this one is active."""
        life = self.not_after - self.not_before
        return self.not_after - min(life / 6, LONGEST_ACTIVATION)

    @property
    def needed_until(self) -> float:
        """When it can leave the bundle, if this one is old."""
        # A tainted one stays so long that everybody hears of it, although its key is gone.
        if self.tainted or not self.lost:
            return self.not_after + KEPT_AFTER_EXPIRY
        return self.signed_until + LEEWAY if self.signed_until else 0


@dataclass(frozen=True, slots=True)
class State:
    """The authorities of one kind; `old` ones are in the bundle, newest first."""

    active: Authority | None = None
    prepared: Authority | None = None
    old: tuple[Authority, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make a successor, and publish it."""


@dataclass(frozen=True, slots=True)
class Activate:
    """Let the prepared authority sign."""


@dataclass(frozen=True, slots=True)
class Prune:
    """Take these old ones out of the bundle."""

    authorities: tuple[Authority, ...]


Act = Prepare | Activate | Prune


def next_act(state: State, now: float) -> Act | None:
    """What is due now, the most urgent first; None when nothing is."""
    prepared = state.prepared
    if prepared is not None and prepared.not_after <= now:
        prepared = None  # slept through: it would sign nothing
    active = state.active
    if active is None or active.activate_next_at <= now:
        return Activate() if prepared else Prepare()
    if prepared is None and active.prepare_next_at <= now:
        return Prepare()
    done = tuple(each for each in state.old if each.needed_until <= now)
    return Prune(done) if done else None


def with_prepared(state: State, authority: Authority) -> State:
    """A successor has been published; one prepared before gives way, and its key is gone."""
    given_up = () if state.prepared is None else (replace(state.prepared, lost=True),)
    # The slot is one of two: an old authority that had it has lost its key by this.
    old = (replace(each, lost=True) if each.slot == authority.slot else each for each in state.old)
    return replace(state, prepared=authority, old=(*given_up, *old))


def activated(state: State) -> State:
    """The prepared authority signs from now on.

    Raises:
        ValueError: there is none.
    """
    if state.prepared is None:
        raise ValueError("only a prepared authority can be activated")
    retired = () if state.active is None else (state.active,)
    return State(active=state.prepared, prepared=None, old=(*retired, *state.old))


def pruned(state: State, gone: Collection[Authority]) -> State:
    """Those old authorities are out of the bundle."""
    ids = {each.id for each in gone}
    return replace(state, old=tuple(each for each in state.old if each.id not in ids))


def tainted(state: State, authority_id: str) -> State:
    """That old authority is distrusted; its key is to be forgotten."""
    return _with_old(state, authority_id, lambda old: replace(old, tainted=True, lost=True))


def revoked(state: State, authority_id: str) -> State:
    """That old authority is out of the bundle for good."""
    return _with_old(state, authority_id, lambda old: replace(old, revoked=True))


def _with_old(state: State, authority_id: str, change: Callable[[Authority], Authority]) -> State:
    old = (change(each) if each.id == authority_id else each for each in state.old)
    return replace(state, old=tuple(old))


def reconciled(state: State, held: Collection[str]) -> State:
    """The signers hold keys of the authorities `held` and of no others, as after a restart."""

    def checked(authority: Authority) -> Authority:
        return authority if authority.id in held else replace(authority, lost=True)

    current = [checked(each) for each in (state.active, state.prepared) if each is not None]
    lost = [each for each in current if each.lost]
    kept = {each.id for each in current if not each.lost}
    return State(
        active=state.active if state.active and state.active.id in kept else None,
        prepared=state.prepared if state.prepared and state.prepared.id in kept else None,
        old=(*lost, *(checked(each) for each in state.old)),
    )


def find(state: State, authority_id: str) -> Authority | None:
    """The authority of that ID, whatever its place."""
    known = (state.active, state.prepared, *state.old)
    return next((each for each in known if each is not None and each.id == authority_id), None)


def shown_old(state: State) -> Authority | None:
    """The authority that had its turn before the active one, as long as no successor is prepared.

    None when its key was lost, too: these are SPIRE's two slots, of which one is the active one's.
    """
    latest = state.old[0] if state.old and state.prepared is None else None
    return latest if latest is not None and (latest.tainted or not latest.lost) else None


def signing_until(state: State, authority_id: str, until: int) -> State:
    """That authority may sign SVIDs that end as late as `until`."""

    def noted(authority: Authority) -> Authority:
        wanted = authority.id == authority_id and until > authority.signed_until
        return replace(authority, signed_until=until) if wanted else authority

    return State(
        active=None if state.active is None else noted(state.active),
        prepared=state.prepared,
        old=tuple(noted(each) for each in state.old),
    )
