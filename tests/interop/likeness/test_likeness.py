"""The same calls put to a SPIRE server and to ours: the answers are the same."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.likeness.cases import ALL
from tests.interop.likeness.comparing import compare
from tests.interop.likeness.contender import Contender
from tests.interop.likeness.intended import INTENDED
from tests.interop.likeness.playing import NO_CALLER, SERVICES, Shown, play
from tests.interop.programs import FINIAL, Family

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

Played = dict[str, Shown]


async def played(folder: Path, family: Family) -> Played:
    async with Contender(folder, family) as contender:
        return await play(contender, ALL)


@pytest.fixture(scope="module")
def both(peers: Family) -> tuple[Played, Played]:
    """What a SPIRE server and ours answered, to all cases in one order, each run once."""

    async def run(name: str) -> tuple[Played, Played]:
        async with asyncio.TaskGroup() as group:
            theirs = group.create_task(played(Path(name) / "spire", peers))
            ours = group.create_task(played(Path(name) / "finial", FINIAL))
        return theirs.result(), ours.result()

    with tempfile.TemporaryDirectory(prefix="finial-") as name:
        return asyncio.run(run(name))


def test_every_call_is_answered_as_spire_answers_it(
    both: tuple[Played, Played], record_property: Callable[[str, object], None]
) -> None:
    theirs, ours = both
    different, needless = compare(theirs, ours)
    equal = sum(theirs[name] == ours.get(name) for name in theirs)
    record_property("total", f"{len(theirs)} calls, {equal} answers equal")
    for reason, count in Counter(INTENDED[name].reason for name in INTENDED).items():
        record_property("total", f"    {count} differ: {reason}")
    assert not different, f"{len(different)} answers\n" + "\n".join(map(str, different))
    assert not needless, f"no difference any more: {needless}"


def test_what_is_intended_is_a_difference_to_who_does_not_know_it(
    both: tuple[Played, Played],
) -> None:
    different, _ = compare(*both, intended={})
    assert {each.name for each in different} == INTENDED.keys()


def test_every_step_was_reached_by_its_caller(both: tuple[Played, Played]) -> None:
    """A caller who never got an SVID would be the same to both servers, and prove nothing."""
    for played_ in both:
        assert {name for name, shown in played_.items() if shown.code == NO_CALLER} == set()


def test_every_method_is_called() -> None:
    called = {step.method for steps in ALL.values() for step in steps}
    for service, (messages, _) in SERVICES.items():
        for method in messages.DESCRIPTOR.services_by_name[service].methods:
            asked = {f"{service}.{method.name}", f"/grpc.health.v1.{service}/{method.name}"}
            assert asked & called, method.full_name
