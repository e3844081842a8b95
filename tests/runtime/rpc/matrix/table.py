"""The matrix as a table, at the end of a run."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "matrix"
FIGURE = "matrix figure"
_SHOWN = pytest.StashKey[bool]()
_SIGNS = {"passed": "ok", "failed": "FAILED", "skipped": "-", "error": "ERROR"}


def show(terminal: pytest.TerminalReporter) -> None:
    """Print a row a scenario, a column a pair and transport, and how many passed. Once a run."""
    if terminal.config.stash.get(_SHOWN, False):
        return
    terminal.config.stash[_SHOWN] = True
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    for _, sign, value in _recorded(terminal, KEY):
        row, _, column = value.partition("|")
        rows[row][column] = sign
    if rows:
        _show_rows(terminal, rows)
    for name, _, value in _recorded(terminal, FIGURE):
        terminal.line(f"  {name}: {value}")


def _recorded(terminal: pytest.TerminalReporter, wanted: str) -> Iterator[tuple[str, str, str]]:
    """Give what tests have recorded under a key: the test's id, its outcome's sign, the value."""
    for outcome, sign in _SIGNS.items():
        for report in terminal.stats.get(outcome, ()):
            for key, value in getattr(report, "user_properties", ()):
                if key == wanted:
                    yield report.nodeid.rpartition("::")[2], sign, value


def _show_rows(terminal: pytest.TerminalReporter, rows: dict[str, dict[str, str]]) -> None:
    columns = sorted({column for row in rows.values() for column in row})
    terminal.section("gRPC matrix: client > server / transport", bold=True)
    for number, column in enumerate(columns, 1):
        terminal.line(f"  {number}: {column}")
    width = max(len(row) for row in rows)
    terminal.line(" " * width + "".join(f"{number:>7}" for number in range(1, len(columns) + 1)))
    for row, cells in rows.items():
        terminal.line(f"{row:<{width}}" + "".join(f"{cells.get(each, ''):>7}" for each in columns))
    signs = [sign for cells in rows.values() for sign in cells.values()]
    terminal.line(f"{signs.count('ok')} of {len(signs)} passed")
