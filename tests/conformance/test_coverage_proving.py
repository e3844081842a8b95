"""The machinery behind the coverage: what proves a rule, and what does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.proving import overlay, trial
from tests.conformance.proving.trial import ROOT
from tests.conformance.proving.workers import Workers
from tests.conformance.removal import Removal, RemovalError

if TYPE_CHECKING:
    from collections.abc import Iterator

IDENTITY = "core/finial/spiffe/x509_svid/identity.py"
RULE = "if len(uris) > 1:"
TESTS = ["tests/conformance/test_x509.py::test_X509_02_more_than_one_uri_is_refused"]


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(1) as workers:
        yield workers


def verdict(workers: Workers, removal: Removal, tests: list[str]) -> tuple[str, str]:
    finding = workers.submit(removal, tests).result().finding
    return finding.verdict, finding.text


def test_a_test_that_fails_without_the_rule_holds_it(workers: Workers) -> None:
    found, text = verdict(workers, Removal(IDENTITY, RULE, "if len(uris) > 9:"), TESTS)
    assert found == trial.HELD
    assert "DID NOT RAISE" in text


def test_tests_that_pass_without_the_rule_have_missed_it(workers: Workers) -> None:
    removal = Removal(IDENTITY, RULE, "if len(uris) >= 2:")
    assert verdict(workers, removal, TESTS) == (trial.MISSED, "all 3 passed")


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        ("if len(uris) > :", "SyntaxError"),
        ("if len(uris) > many:", "NameError"),
        ("if len(uris) > None:", "TypeError"),
        ("if uris.many():", "AttributeError"),
    ],
)
def test_a_program_that_no_longer_works_proves_nothing(
    workers: Workers, edit: str, complaint: str
) -> None:
    found, text = verdict(workers, Removal(IDENTITY, RULE, edit), TESTS)
    assert found == trial.BROKEN
    assert complaint in text


def test_a_test_that_does_not_exist_proves_nothing(workers: Workers) -> None:
    removal = Removal(IDENTITY, RULE, "if len(uris) > 9:")
    assert verdict(workers, removal, [f"{TESTS[0]}_at_all"])[0] == trial.BROKEN


@pytest.mark.parametrize(
    ("file", "old", "complaint"),
    [
        (IDENTITY, "no such text", "stands there 0 times"),
        (IDENTITY, "raise", "stands there 3 times"),
        ("core/finial/nothing.py", "x", "No such file"),
    ],
)
def test_a_removal_that_does_not_fit_is_an_error(file: str, old: str, complaint: str) -> None:
    with pytest.raises(RemovalError, match=complaint) as told:
        Removal(file, old, "").edited(ROOT)
    assert file in str(told.value)


def test_edits_of_the_same_file_add_up() -> None:
    removal = Removal.together((IDENTITY, RULE, "if 1:"), (IDENTITY, "if not uris:", "if 2:"))
    text = removal.edited(ROOT)[IDENTITY]
    assert "if 1:" in text
    assert "if 2:" in text
    assert RULE not in text


def test_programs_that_a_test_starts_run_the_edited_source(tmp_path: Path) -> None:
    text = (ROOT / IDENTITY).read_text() + "\nEDITED = True\n"
    roots = overlay.build(tmp_path, ROOT, {IDENTITY: text})
    program = "import finial.spiffe.x509_svid.identity as it; print(it.EDITED, it.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(roots)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", str(tmp_path / IDENTITY)]
    assert "EDITED" not in (ROOT / IDENTITY).read_text()


def test_what_programs_compile_of_edited_source_stays_with_it(tmp_path: Path) -> None:
    folder = Path(IDENTITY).parent
    overlay.build(tmp_path, ROOT, {IDENTITY: "edited"})
    kept = tmp_path / folder / "__pycache__"
    assert not (tmp_path / folder).is_symlink()
    assert not kept.is_symlink()
    assert not list(kept.glob("identity.*"))


def test_only_source_can_be_edited(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in none of"):
        overlay.build(tmp_path, ROOT, {"pyproject.toml": ""})
