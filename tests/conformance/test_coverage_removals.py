"""Every rule is held by a test: without the rule, the test fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.coverage import plans

if TYPE_CHECKING:
    from tests.conformance.coverage import Prover


@pytest.mark.timeout(300)
@pytest.mark.parametrize("row", plans())
def test_the_tests_of_a_row_fail_without_its_rule(row: str, prover: Prover) -> None:
    proof = prover.prove(row)
    assert not proof.complaint, proof.complaint
