"""The comparison finds what differs, and lets pass no more than the table of the intended says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.interop.likeness.comparing import compare
from tests.interop.likeness.intended import Intended, Part
from tests.interop.likeness.playing import Shown

ANSWER = {"results": [{"status": {"code": 3, "message": "missing CSR"}}], "count": 1}
SPIRE = Shown("OK", "", [], [ANSWER])
REFUSED = Shown("PERMISSION_DENIED", "denied", ["AGENT_BANNED"])


def told(theirs: Shown, ours: Shown | None, part: Part | None = None) -> list[str]:
    """What is found to differ though it should not."""
    intended = {} if part is None else {"case": Intended(part, "so")}
    different, _ = compare({"case": theirs}, {"case": ours} if ours else {}, intended)
    return [str(each) for each in different]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (SPIRE, replace(SPIRE, code="NOT_FOUND")),
        (SPIRE, replace(SPIRE, answers=[])),
        (SPIRE, replace(SPIRE, answers=[ANSWER, ANSWER])),
        (SPIRE, replace(SPIRE, answers=[ANSWER | {"count": 2}])),
        (SPIRE, replace(SPIRE, answers=[ANSWER | {"more": True}])),
        (SPIRE, None),
        (REFUSED, replace(REFUSED, text="Denied")),
        (REFUSED, replace(REFUSED, reasons=[])),
        (REFUSED, replace(REFUSED, reasons=["AGENT_EXPIRED"])),
    ],
)
def test_whatever_differs_is_told(theirs: Shown, ours: Shown | None) -> None:
    assert len(told(theirs, ours)) == 1


def test_what_is_equal_is_not_told() -> None:
    assert told(SPIRE, replace(SPIRE)) == []


def test_the_smallest_part_that_differs_is_shown() -> None:
    (line,) = told(SPIRE, replace(SPIRE, answers=[ANSWER | {"count": 2}]))
    assert line == "case\n    .answers.0.count: SPIRE 1, here 2"


OTHER_TEXT = replace(
    SPIRE, answers=[ANSWER | {"results": [{"status": {"code": 3, "message": "x"}}]}]
)


@pytest.mark.parametrize(
    ("part", "theirs", "ours", "passes"),
    [
        (Part.TEXT, SPIRE, OTHER_TEXT, True),
        (Part.TEXT, REFUSED, replace(REFUSED, text="x"), True),
        (Part.TEXT, REFUSED, replace(REFUSED, code="INTERNAL"), False),
        (Part.TEXT, REFUSED, replace(REFUSED, reasons=[]), False),
        (Part.TEXT, SPIRE, replace(SPIRE, answers=[ANSWER | {"count": 2}]), False),
        (Part.CODE, REFUSED, replace(REFUSED, code="INTERNAL"), True),
        (Part.CODE, SPIRE, REFUSED, False),
        (Part.CODE, REFUSED, SPIRE, False),
        (Part.OUTCOME, SPIRE, REFUSED, True),
        (Part.OUTCOME, SPIRE, None, False),
    ],
)
def test_what_is_intended_passes_and_no_more(
    part: Part, theirs: Shown, ours: Shown | None, *, passes: bool
) -> None:
    assert (told(theirs, ours, part) == []) == passes


def test_an_intended_difference_that_is_none_is_told() -> None:
    same: dict[str, Any] = {"case": SPIRE}
    assert compare(same, same, {"case": Intended(Part.TEXT, "so")}) == ([], ["case"])
