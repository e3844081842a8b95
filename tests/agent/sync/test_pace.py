"""SVIDs of a tainted authority are replaced in an orderly way."""

from __future__ import annotations

from finial.agent.cache.entries import Entry
from finial.agent.sync.pace import AT_ONCE, EVERY, Pace
from finial.spiffe.spiffe_id import SpiffeId


def entries(count: int, name: str = "e") -> list[Entry]:
    ids = [f"{name}{number}" for number in range(count)]
    return [Entry(each, SpiffeId(f"spiffe://example.org/{each}"), frozenset()) for each in ids]


def test_what_can_wait_is_let_through_in_lots() -> None:
    pace = Pace()
    due = entries(250)
    taken = 0
    for moment, lot in ((0.0, AT_ONCE), (0.5, 0), (EVERY, AT_ONCE), (2 * EVERY, 50)):
        chosen = pace.choose(due[taken:], lambda _: True, moment)
        assert chosen == due[taken : taken + lot]
        taken += lot
        assert pace.held_back == (taken < len(due))
    assert pace.wait(2.25 * EVERY) == 0.75 * EVERY


def test_what_cannot_wait_is_never_held_back() -> None:
    pace = Pace()
    tainted, urgent = entries(AT_ONCE + 1), entries(AT_ONCE + 1, "u")
    due = [*tainted, *urgent]
    assert pace.choose(due, lambda entry: entry in tainted, 0.0) == [*tainted[:-1], *urgent]
    assert pace.choose(urgent, lambda entry: entry in tainted, 0.1) == urgent
    assert not pace.held_back
