"""When authorities come and go, over simulated days."""

import dataclasses
import itertools

import pytest

from finial.server.authority import rotator
from finial.server.authority.rotator import (
    DAY,
    LEEWAY,
    Activate,
    Authority,
    Prepare,
    Prune,
    State,
    next_act,
)

HOUR = 3600
START = 1_800_000_000
TTL = 24 * HOUR


def authority(name: str = "a", start: int = START, ttl: int = TTL, **more: object) -> Authority:
    fields: dict[str, object] = {
        "id": name,
        "slot": "A",
        "not_before": start - 10,
        "not_after": start + ttl,
    }
    return Authority(**(fields | more))  # type: ignore[arg-type]


def test_at_first_one_is_prepared_and_activated_at_once() -> None:
    assert next_act(State(), START) == Prepare()
    state = rotator.with_prepared(State(), authority())
    assert next_act(state, START) == Activate()
    assert next_act(rotator.activated(state), START) is None


@pytest.mark.parametrize(
    ("ttl", "prepare", "activate"),
    [
        (TTL, 12 * HOUR - 5, 20 * HOUR - 1),
        (6 * HOUR, 3 * HOUR - 5, 5 * HOUR - 1),
        (365 * DAY, 335 * DAY, 358 * DAY),
    ],
)
def test_a_successor_is_prepared_at_half_life_and_active_at_a_sixth(
    ttl: int, prepare: int, activate: int
) -> None:
    state = State(active=authority(ttl=ttl))
    assert next_act(state, START + prepare - 1) is None
    assert next_act(state, START + prepare) == Prepare()
    ready = rotator.with_prepared(state, authority("b", START + prepare, ttl, slot="B"))
    assert next_act(ready, START + activate - 2) is None
    assert next_act(ready, START + activate) == Activate()


def test_an_old_authority_is_pruned_a_day_after_its_end() -> None:
    old = authority("old", START - TTL)
    late = State(active=authority("b", old.not_after + DAY), old=(old,))
    assert next_act(late, old.not_after + DAY - 1) is None
    assert next_act(late, old.not_after + DAY) == Prune((old,))
    assert rotator.pruned(late, (old,)).old == ()


def test_one_whose_key_is_lost_is_needed_until_its_last_svid_has_ended() -> None:
    lost = authority("lost", lost=True, signed_until=START + HOUR)
    unused = authority("unused", lost=True)
    state = State(active=authority("b"), old=(lost, unused))
    assert next_act(state, START) == Prune((unused,))
    state = rotator.pruned(state, (unused,))
    assert next_act(state, START + HOUR + LEEWAY - 1) is None
    assert next_act(state, START + HOUR + LEEWAY) == Prune((lost,))


def test_a_prepared_one_that_was_slept_through_is_replaced() -> None:
    state = State(active=authority("a"), prepared=authority("b", slot="B"))
    late = START + 3 * DAY
    assert next_act(state, late) == Prepare()
    state = rotator.with_prepared(state, authority("c", late, slot="B"))
    assert next_act(state, late) == Activate()
    state = rotator.activated(state)
    assert state.active is not None
    assert state.active.id == "c"
    assert [each.id for each in state.old] == ["a", "b"]


def test_a_clock_that_goes_back_causes_nothing() -> None:
    state = State(active=authority("a"), prepared=authority("b", slot="B"))
    assert next_act(state, START - 30 * DAY) is None


def test_preparing_again_gives_up_the_one_prepared_before() -> None:
    state = State(active=authority("a"), prepared=authority("b", slot="B"))
    state = rotator.with_prepared(state, authority("c", slot="B"))
    assert state.prepared is not None
    assert state.prepared.id == "c"
    assert next_act(state, START) == Prune(state.old)
    assert [(each.id, each.lost) for each in state.old] == [("b", True)]


def test_activating_without_a_prepared_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="only a prepared"):
        rotator.activated(State(active=authority()))


def test_what_the_signers_lost_is_old_from_then_on() -> None:
    older = authority("older", START - TTL)
    state = State(active=authority("a"), prepared=authority("b", slot="B"), old=(older,))
    assert rotator.reconciled(state, {"a", "b", "older"}) == state
    only_active = rotator.reconciled(state, {"a", "older"})
    assert only_active.active == state.active
    assert only_active.prepared is None
    nothing = rotator.reconciled(state, set())
    assert nothing.active is None
    assert [(each.id, each.lost) for each in nothing.old] == [
        ("a", True),
        ("b", True),
        ("older", True),
    ]


def test_signing_is_noted_for_the_authority_that_signs_and_never_taken_back() -> None:
    state = State(active=authority("a"), old=(authority("o"),))
    state = rotator.signing_until(state, "a", START + 100)
    state = rotator.signing_until(state, "o", START + 50)
    state = rotator.signing_until(state, "a", START + 10)
    assert state.active is not None
    assert state.active.signed_until == START + 100
    assert state.old[0].signed_until == START + 50


class Simulation:
    """Authorities, and SVIDs that live an hour, in steps of `step` seconds."""

    def __init__(self, *, step: int, svid: int = HOUR) -> None:
        self.now = START
        self.state = State()
        self.bundle: set[str] = set()
        self.svids: dict[int, tuple[str, int]] = {}
        self.published: dict[str, int] = {}
        self.most = 0
        self._step = step
        self._svid = svid
        self._names = itertools.count()
        self._serials = itertools.count()

    def run(self, seconds: int) -> None:
        end = self.now + seconds
        while self.now < end:
            self.act()
            self.issue()
            self.check()
            self.now += self._step

    def act(self) -> None:
        while (act := next_act(self.state, self.now)) is not None:
            match act:
                case Prepare():
                    self._prepare()
                case Activate():
                    self.state = rotator.activated(self.state)
                case Prune(gone):
                    self.bundle -= {each.id for each in gone}
                    self.state = rotator.pruned(self.state, gone)

    def _prepare(self) -> None:
        active = self.state.active
        slot = "B" if active is not None and active.slot == "A" else "A"
        made = authority(f"ca-{next(self._names)}", self.now, slot=slot)
        self.bundle.add(made.id)
        self.published[made.id] = self.now
        self.state = rotator.with_prepared(self.state, made)

    def issue(self) -> None:
        active = self.state.active
        assert active is not None
        end = min(self.now + self._svid, active.not_after)
        self.state = rotator.signing_until(self.state, active.id, end)
        self.svids[next(self._serials)] = (active.id, end)

    def check(self) -> None:
        self.svids = {n: svid for n, svid in self.svids.items() if svid[1] > self.now}
        assert {ca for ca, _ in self.svids.values()} <= self.bundle
        active = self.state.active
        assert active is not None
        assert active.not_after > self.now
        self.most = max(self.most, len(self.bundle))


@pytest.mark.parametrize("step", [60, 3599, 4 * HOUR])
def test_over_thirty_days_every_live_svid_has_its_authority_in_the_bundle(step: int) -> None:
    world = Simulation(step=step)
    world.run(30 * DAY)
    assert len(world.published) >= 30
    assert world.most <= 3


def test_over_thirty_days_a_new_authority_is_published_hours_before_it_signs() -> None:
    world = Simulation(step=60)
    first: dict[str, int] = {}
    for _ in range(30 * DAY // 600):
        world.run(600)
        assert world.state.active is not None
        first.setdefault(world.state.active.id, world.now)
    waits = [first[name] - world.published[name] for name in list(first)[1:]]
    assert len(waits) >= 30
    assert min(waits) >= 7 * HOUR


def test_frequent_restarts_without_keys_leave_no_more_than_is_needed() -> None:
    world = Simulation(step=600, svid=300)
    for _ in range(100):
        world.state = rotator.reconciled(world.state, set())
        world.run(600)
    assert world.most <= 3
    for _ in range(50):  # none of them signs anything
        world.state = rotator.reconciled(world.state, set())
        world.act()
        assert len(world.bundle) <= 3


def test_the_simulation_notices_an_authority_that_leaves_too_early() -> None:
    world = Simulation(step=60)
    world.run(DAY)
    assert world.state.active is not None
    world.bundle.discard(world.state.active.id)
    with pytest.raises(AssertionError):
        world.check()


def test_an_authority_is_a_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        authority().id = "b"  # type: ignore[misc]
