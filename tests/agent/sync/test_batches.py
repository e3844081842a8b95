"""What is ordered again, and in how large batches, when a server cannot answer for all at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc
import pytest

from finial.agent.cache.workloads import Workloads
from finial.agent.sync.batches import (
    JUDGED_ON_THE_LOOP,
    MOST_ALONE,
    Batches,
    inline_or_thread,
)
from finial.agent.sync.server import ProtocolError
from finial.runtime.rpc import RpcError
from tests.agent.cache.test_workloads import TD, entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.agent.cache.entries import Entry

ENTRIES = [entry(f"{number:02}") for number in range(20)]


class Lab:
    """Batches of a server that fails for some entries and for all that is too large."""

    generation = 7

    def __init__(self) -> None:
        self.workloads = Workloads(TD)
        self.workloads.replace_entries({one.id: one for one in ENTRIES})
        self.bad: dict[str, Exception] = {}
        self.largest = 8
        self.ordered: list[list[str]] = []
        self.failed: list[str] = []
        self.reactions: list[tuple[Exception, int]] = []
        self.batches = Batches(
            "X.509-SVID",
            largest=8,
            issue=self.issue,
            mark_failed=self.failed.extend,
            workloads=self.workloads,
            identity=self,  # type: ignore[arg-type]
        )

    async def react(self, error: Exception, generation: int) -> None:
        self.reactions.append((error, generation))

    async def issue(self, batch: Sequence[Entry]) -> bool:
        names = [one.id for one in batch]
        self.ordered.append(names)
        if len(batch) > self.largest:
            raise broken(grpc.StatusCode.RESOURCE_EXHAUSTED)
        for name in names:
            if name in self.bad:
                raise self.bad[name]
        return True

    @property
    def sizes(self) -> list[int]:
        return [len(names) for names in self.ordered]


def broken(code: grpc.StatusCode) -> RpcError:
    return RpcError(code, "broken")


@pytest.fixture
def lab() -> Lab:
    return Lab()


async def test_all_is_ordered_in_batches_of_the_largest_size(lab: Lab) -> None:
    assert await lab.batches.order(ENTRIES)
    assert lab.sizes == [8, 8, 4]
    assert not lab.failed


async def test_after_one_that_passed_the_batches_grow_again(lab: Lab) -> None:
    lab.bad["00"] = ProtocolError("nonsense")
    assert not await lab.batches.order(ENTRIES)
    assert lab.sizes == [8, 4, 2, 1, 1, 2, 4, 8, 4]
    assert lab.failed == ["00"]


async def test_who_failed_alone_is_named_and_goes_last_until_it_passes(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    lab.bad["00"] = broken(grpc.StatusCode.INTERNAL)
    await lab.batches.order(ENTRIES)
    (line,) = [each for each in caplog.records if each.message == "X.509-SVID was not issued"]
    assert line.__dict__["data"]["entry_id"] == "00"
    del lab.bad["00"]
    for last in ("00", "19"):
        lab.ordered.clear()
        assert await lab.batches.order(ENTRIES)
        assert lab.ordered[-1][-1] == last


async def test_one_that_the_server_takes_too_long_for_ends_the_round_and_goes_last(
    lab: Lab,
) -> None:
    """Each that follows could cost as much time."""
    lab.bad["00"] = late = broken(grpc.StatusCode.DEADLINE_EXCEEDED)
    assert not await lab.batches.order(ENTRIES)
    assert lab.sizes == [8, 4, 2, 1]
    assert lab.failed == [one.id for one in ENTRIES]
    assert lab.reactions == [(late, 7)]
    lab.ordered.clear()
    assert not await lab.batches.order(ENTRIES)
    assert lab.ordered[0][0] == "01"


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED])
async def test_what_no_smaller_batch_would_help_with_ends_the_round(
    lab: Lab, code: grpc.StatusCode
) -> None:
    lab.bad["00"] = error = broken(code)
    assert not await lab.batches.order(ENTRIES)
    assert lab.sizes == [8]
    assert lab.reactions == [(error, 7)]


async def test_a_server_that_fails_for_many_is_given_a_pause(lab: Lab) -> None:
    lab.bad.update((one.id, ProtocolError("nonsense")) for one in ENTRIES)
    assert not await lab.batches.order(ENTRIES)
    assert lab.sizes.count(1) == MOST_ALONE + 1
    assert not lab.reactions


async def test_little_is_worked_on_the_loop_and_more_on_a_thread() -> None:
    def where(_: Sequence[int]) -> threading.Thread:
        return threading.current_thread()

    here, most = threading.current_thread(), JUDGED_ON_THE_LOOP
    assert await inline_or_thread(where, range(most), most) is here
    assert await inline_or_thread(where, range(most + 1), most) is not here
