"""What the foreign programs need, and a loud count of those that were not run."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop.gobuild import built
from tests.interop.programs import Family, spire
from tests.runtime.rpc.matrix import table

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def peers() -> Family:
    """SPIRE's programs."""
    return spire()


@pytest.fixture(scope="session")
def gospiffe() -> Path:
    """A workload on go-spiffe."""
    return built(HERE / "gospiffe")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="finial-") as name:
        yield Path(name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what this run has shown, in totals, and what it has not."""
    table.show(terminalreporter)
    _show_totals(terminalreporter)
    reports = terminalreporter.stats.get("skipped", ())
    missed = [report for report in reports if "tests/interop/" in report.nodeid]
    if not missed:
        return
    terminalreporter.section("foreign programs that were NOT run", red=True, bold=True)
    for reason, count in Counter(_reason(report) for report in missed).items():
        terminalreporter.line(f"{count} not run, for want of {reason}", red=True)
    # By file: the tests that failed come after this, and are what the end of a log is read for.
    for file, count in Counter(report.nodeid.partition("::")[0] for report in missed).items():
        terminalreporter.line(f"    {count:3} {file}")


def _show_totals(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have recorded as their `total`."""
    totals = [
        f"{report.nodeid.rpartition('/')[2]}: {value}"
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        for key, value in report.user_properties
        if key == "total"
    ]
    if totals:
        terminalreporter.section("totals", bold=True)
        for total in totals:
            terminalreporter.line(total)


def _reason(report: pytest.TestReport) -> str:
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")
