"""The mutation run itself: it kills what tests notice, and shows what they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.mutants import survivors
from tests.mutants.child import Outcome
from tests.mutants.report import Report
from tests.mutants.survivors import Change

ROOT = Path(__file__).resolve().parents[2]
CODE = """
from __future__ import annotations

def few(number: int) -> bool:
    return number < 3

def untested(one: int, other: int) -> int:
    return one + other

def settle(pending: bool) -> bool:
    while pending:
        pending = not pending
    return pending

def starred(*, one: int) -> int:
    return one
"""
CHECKS = """
import toy

def test_few_is_below_three():
    assert [toy.few(n) for n in (1, 2, 3, 4)] == [True, True, False, False]

def test_it_settles():
    assert toy.settle(True) is False

def test_the_name_is_needed():
    assert toy.starred(one=1) == 1
"""


def judge(tree: Path, code: str, checks: str) -> subprocess.CompletedProcess[str]:
    for name, text in (("core/toy.py", code), ("checks/test_toy.py", checks)):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "tests.mutants.judge", "--sources", "core/toy.py",
         "--tests", "checks/test_toy.py", "--results", "results"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tree / 'core'}"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    tree = tmp_path_factory.mktemp("toy")
    judged = judge(tree, CODE, CHECKS)
    assert judged.returncode == 0, judged.stderr
    return [json.loads(line) for line in (tree / "results").read_text().splitlines()]


def outcomes(results: list[dict[str, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for result in results:
        found[result["within"]].add(result["outcome"])
    return found


def test_a_function_without_a_test_lets_every_mutant_survive(results: list[dict[str, Any]]) -> None:
    untested = [r for r in results if r["within"] == "untested"]
    assert len(untested) == 11
    assert {r["outcome"] for r in untested} == {"SURVIVED"}
    assert ["return one + other", "return one - other"] in [r["change"] for r in untested]


def test_a_tested_function_lets_none_survive(results: list[dict[str, Any]]) -> None:
    assert len([r for r in results if r["within"] == "few"]) == 7
    assert outcomes(results)["few"] == {"FAILED"}


def test_a_mutant_that_never_ends_is_killed_by_the_clock(results: list[dict[str, Any]]) -> None:
    assert outcomes(results)["settle"] == {"FAILED", "TIME"}


def test_a_mutant_that_is_no_python_is_counted_apart(results: list[dict[str, Any]]) -> None:
    assert outcomes(results)["starred"] == {"IMPORT"}


def test_tests_that_fail_without_a_mutant_stop_the_run(tmp_path: Path) -> None:
    judged = judge(tmp_path, CODE, CHECKS + "\ndef test_nothing_works():\n    assert False\n")
    assert judged.returncode != 0
    assert "the tests fail over the unchanged tree" in judged.stderr
    assert not (tmp_path / "results").exists()


def test_a_test_that_needs_another_before_it_stops_the_run(tmp_path: Path) -> None:
    code = "def first() -> bool:\n    return True\n\ndef then() -> bool:\n    return True\n"
    checks = """
import toy
SEEN = []
def test_first():
    SEEN.append(1)
    assert toy.first() is True
def test_then():
    assert sum(range(2_000_000))  # the quickest runs first
    assert SEEN and toy.then() is True
"""
    judged = judge(tmp_path, code, checks)
    assert judged.returncode != 0
    assert "tests fail over the unchanged tree" in judged.stderr


def test_a_run_without_tests_is_no_run(tmp_path: Path) -> None:
    judged = judge(tmp_path, CODE, "")
    assert judged.returncode != 0
    assert "no tests in checks/test_toy.py" in judged.stderr


SURVIVOR = Change("core/toy.py", "untested", "return one + other", "return one - other")


def report(reasons: dict[Change, str], *, killed: int) -> Report:
    found = Report(reasons)
    dead = {"path": "core/toy.py", "outcome": Outcome.FAILED.name}
    alive = {
        "path": SURVIVOR.path,
        "within": SURVIVOR.within,
        "outcome": Outcome.SURVIVED.name,
        "change": [SURVIVOR.was, SURVIVOR.becomes],
    }
    found.add([dead] * killed + [alive])
    return found


def test_a_survivor_that_is_not_in_the_list_is_shown_as_an_entry_to_be_filled_in(
    tmp_path: Path,
) -> None:
    found = report({}, killed=19)
    assert found.unlisted == [SURVIVOR]
    assert found.share == 0.95
    listed = tmp_path / "survivors.toml"
    listed.write_text(survivors.write(found.unlisted))
    with pytest.raises(ValueError, match="has no reason"):
        survivors.read(listed)
    listed.write_text(listed.read_text().replace('reason = ""', 'reason = "it is a toy"'))
    assert survivors.read(listed) == {SURVIVOR: "it is a toy"}


def test_a_survivor_in_the_list_still_counts_as_one() -> None:
    found = report({SURVIVOR: "it is a toy"}, killed=1)
    assert not found.unlisted
    assert found.share == 0.5


def test_an_entry_that_nothing_needs_any_more_is_shown() -> None:
    gone = SURVIVOR._replace(becomes="return one * other")
    found = report({SURVIVOR: "it is a toy", gone: "it was a toy"}, killed=1)
    assert found.outdated == [gone]
    assert "no longer needed" in found.text()


def test_no_mutants_are_no_success() -> None:
    assert Report({}).share == 0.0
