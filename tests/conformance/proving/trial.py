"""One run of a row's tests, and what it shows."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.proving import overlay

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[3]

HELD = "held"
"""At least one test failed, as it should: it holds the rule."""
MISSED = "missed"
"""Every test passed without the rule."""
BROKEN = "broken"
"""The run shows nothing: the edited program does not work, or a test hung."""

# What a program raises that was edited carelessly, as against one that lacks a rule.
_CARELESS = (ImportError, SyntaxError, NameError, AttributeError, TypeError)


@dataclass(frozen=True)
class Finding:
    """What a run showed, and the words for it."""

    verdict: str
    text: str = ""


class Observer:
    """A pytest plugin that keeps what the first failure was."""

    def __init__(self) -> None:
        self.passed = 0
        self.finding: Finding | None = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.finding = Finding(BROKEN, f"collecting {report.nodeid}: {report.longreprtext}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and call.excinfo is not None and self.finding is None:
            self.finding = _judged(item.nodeid, call.excinfo)
        self.passed += report.passed and report.when == "call"
        return report


def _judged(test: str, error: pytest.ExceptionInfo[BaseException]) -> Finding:
    text = f"{test}: {error.exconly()}"
    careless = isinstance(error.value, _CARELESS)
    hung = isinstance(error.value, pytest.fail.Exception) and "Timeout" in str(error.value)
    return Finding(BROKEN if careless or hung else HELD, text[:1000])


def run(files: Mapping[str, str], tests: Sequence[str], folder: Path, *, timeout: float) -> Finding:
    """Run tests against the source with these files replaced, in this process, once.

    The tests of one file after the other, in the order in which they are given, until one fails.
    The process must not have imported anything of Finial yet, and is of no use afterwards. A test
    that takes longer than `timeout` seconds shows nothing.
    """
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.chdir(ROOT)
    roots = overlay.build(folder, ROOT, files)
    sys.path[:0] = roots
    try:
        for file in files:
            importlib.import_module(_module(file))
    except Exception:  # noqa: BLE001 - whatever an edit can do
        return Finding(BROKEN, f"importing what was edited: {traceback.format_exc(limit=-2)}")
    options = [
        *("-c", "pyproject.toml", "-o", f"pythonpath={' '.join([*roots, '.'])}"),
        *("-p", "no:cacheprovider", "--maxfail=1", f"--timeout={timeout:g}"),
        f"--basetemp={folder / 't'}",
        "-Wignore::pytest.PytestAssertRewriteWarning",  # plugins were loaded beforehand
    ]
    passed = 0
    for _, group in groupby(tests, lambda test: test.partition("::")[0]):
        observer = Observer()
        code = pytest.main([*options, *group], [observer])
        if observer.finding is not None:
            return observer.finding
        if code != pytest.ExitCode.OK or not observer.passed:
            return Finding(BROKEN, f"pytest ended with {code!r}, {observer.passed} passed")
        passed += observer.passed
    return Finding(MISSED, f"all {passed} passed")


def _module(file: str) -> str:
    parts = Path(file).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
