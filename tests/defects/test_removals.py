"""Each defect, brought about by an edit, is noticed by its tests."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.conformance.proving import trial
from tests.conformance.proving.workers import Run, Workers
from tests.conformance.removal import Removal
from tests.defects.catalogue import CATALOGUE, Defect

if TYPE_CHECKING:
    from concurrent.futures import Future

EDITS = [(defect, edit) for defect in CATALOGUE for edit in defect.removals]
NAMES = [
    f"{defect.tests[0].rpartition('/test_')[2].removesuffix('.py')}-{number}"
    for defect in CATALOGUE
    for number, _ in enumerate(defect.removals)
]
PATIENCE = 600.0


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[Removal, "Future[Run]"]]:
    """Every edit's run; all of them begin at once."""
    with Workers(os.cpu_count() or 1) as workers:
        yield {edit: workers.submit(edit, defect.tests) for defect, edit in EDITS}


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize(("defect", "edit"), EDITS, ids=NAMES)
def test_a_defence_that_is_taken_out_is_missed(
    defect: Defect, edit: Removal, runs: dict[Removal, "Future[Run]"]
) -> None:
    finding = runs[edit].result().finding
    assert finding.verdict == trial.HELD, f"{defect.name}: {edit}: {finding.text}"


def test_every_defect_has_tests_and_removals() -> None:
    for defect in CATALOGUE:
        assert defect.tests
        assert defect.removals
        for name in defect.tests:
            assert (trial.ROOT / name.partition("::")[0]).is_file(), name
