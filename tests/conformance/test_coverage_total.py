"""How many rows of the checklist are covered; the figure is in the session's summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.coverage import HERE, Prover, Total, binding, families
from tests.conformance.proving.naming import named_tests, rows_of
from tests.conformance.proving.trial import ROOT
from tests.conformance.rows import NOT_OURS, ROWS, UNCOVERED

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.timeout(600)
def test_every_row_that_binds_us_is_covered_or_listed_with_a_reason(
    prover: Prover, show_total: Callable[[Total], None]
) -> None:
    total = Total.of(prover)
    show_total(total)
    assert set(total.missing) - set(UNCOVERED) == set(), {
        row: total.missing[row] for row in total.missing if row not in UNCOVERED
    }
    assert set(UNCOVERED) & set(total.covered) == set(), "covered by now: strike them off the list"


def test_only_rows_of_the_checklist_are_listed() -> None:
    listed = {*NOT_OURS, *UNCOVERED, *(row for family in families().values() for row in family)}
    assert listed - set(ROWS) == set()
    assert set(NOT_OURS) & set(UNCOVERED) == set()
    assert all((*NOT_OURS.values(), *UNCOVERED.values()))


def test_only_rows_of_the_checklist_have_tests() -> None:
    assert set(named_tests(HERE, ROOT)) - set(ROWS) == set()


def test_a_removal_without_tests_proves_nothing() -> None:
    named = named_tests(HERE, ROOT)
    idle = [row for family in families().values() for row in family if row not in named]
    assert idle == []


def test_every_row_binds_us_or_has_a_reason_not_to() -> None:
    assert len(binding()) + len(NOT_OURS) == len(ROWS) == 241


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("test_X509_02_more_than_one_uri_is_refused", ["X509-02"]),
        ("test_ID_19_and_20_a_new_server", ["ID-19", "ID-20"]),
        ("test_X509_09_to_12_each_certificate", ["X509-09", "X509-10", "X509-11", "X509-12"]),
        ("test_JWT_01_03_and_08_a_token", ["JWT-01", "JWT-03", "JWT-08"]),
        ("test_WEP_17_and_WL_02_what_is_not_served", ["WEP-17", "WL-02"]),
        ("test_BND_07_no_keys_of_2048_bytes", ["BND-07"]),
        ("test_only_rows_of_the_checklist", []),
    ],
)
def test_a_tests_name_begins_with_its_rows(name: str, rows: list[str]) -> None:
    assert rows_of(name) == rows
