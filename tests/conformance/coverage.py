"""Which rows are covered: tests that name them, and removals that make those tests fail."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.conformance.proving import trial
from tests.conformance.proving.naming import named_tests
from tests.conformance.proving.workers import Run, Workers
from tests.conformance.removal import Removal, RemovalError
from tests.conformance.rows import NOT_OURS, ROWS, UNCOVERED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Future

HERE = Path(__file__).parent

Removals = dict[str, tuple[Removal, ...]]


def families() -> dict[str, Removals]:
    """The removals of each file in `removals/`, by the file's name and the row."""
    return {
        file.stem: importlib.import_module(f"tests.conformance.removals.{file.stem}").REMOVALS
        for file in sorted((HERE / "removals").glob("[a-z]*.py"))
    }


@dataclass(frozen=True)
class Plan:
    """A removal, and the tests that are to fail with it."""

    removal: Removal
    tests: tuple[str, ...]


def plans() -> dict[str, list[Plan]]:
    """What is to be run for each row that has tests; those of a family's own file come first."""
    named = named_tests(HERE, trial.ROOT)
    found: dict[str, list[Plan]] = {}
    for family, entries in families().items():
        for row, removals in entries.items():
            own = f"/test_{family}.py::"
            tests = tuple(sorted(named.get(row, ()), key=lambda test: own not in test))
            if tests:
                found.setdefault(row, []).extend(Plan(each, tests) for each in removals)
    return found


def binding() -> list[str]:
    """The rows that bind Finial."""
    return [row for row in ROWS if row not in NOT_OURS]


@dataclass(frozen=True)
class Proof:
    """What the removals of a row showed, in their order; `complaint` is empty when all is well."""

    row: str
    tests: tuple[str, ...]
    runs: tuple[Run | RemovalError, ...]

    @property
    def complaint(self) -> str:
        if not self.tests:
            return "no test is named after it"
        if not self.runs:
            return "no removal is listed for it"
        return "\n".join(filter(None, (_complaint(run) for run in self.runs)))

    @property
    def seconds(self) -> float:
        return sum(run.seconds for run in self.runs if isinstance(run, Run))


def _complaint(run: Run | RemovalError) -> str:
    if isinstance(run, RemovalError):
        return str(run)
    if run.finding.verdict == trial.HELD:
        return ""
    return f"{run.finding.verdict}: {run.finding.text}"


class Prover:
    """Proves rows, each once, on all processors; `expect` says early which will be asked for."""

    def __init__(self) -> None:
        self._tests: Mapping[str, list[str]] = named_tests(HERE, trial.ROOT)
        self._plans = plans()
        self._workers = Workers((os.cpu_count() or 1) + 1)  # some runs wait for what never comes
        self._runs: dict[str, list[Future[Run]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.__exit__()

    def expect(self, rows: Iterable[str]) -> None:
        """Begin with these rows, in their order."""
        for row in rows:
            if row not in self._runs:
                self._runs[row] = [
                    self._workers.submit(plan.removal, plan.tests)
                    for plan in self._plans.get(row, ())
                ]

    def prove(self, row: str) -> Proof:
        """What became of a row; waits for it."""
        self.expect([row])
        runs = tuple(_outcome(run) for run in self._runs[row])
        return Proof(row, tuple(self._tests.get(row, ())), runs)


def _outcome(run: Future[Run]) -> Run | RemovalError:
    try:
        return run.result()
    except RemovalError as error:
        return error


@dataclass(frozen=True)
class Total:
    """How the proofs of all rows that bind Finial add up."""

    covered: tuple[str, ...]
    missing: Mapping[str, str]

    @classmethod
    def of(cls, prover: Prover) -> Self:
        """Prove everything."""
        rows = binding()
        prover.expect(rows)
        complaints = {row: prover.prove(row).complaint for row in rows}
        return cls(
            tuple(row for row in rows if not complaints[row]),
            {row: complaint for row, complaint in complaints.items() if complaint},
        )

    def lines(self) -> list[str]:
        """What a reader wants to know of it."""
        reasons: dict[str, int] = {}
        for reason in NOT_OURS.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        told = "; ".join(f"{count}: {reason}" for reason, count in reasons.items())
        bound = len(self.covered) + len(self.missing)
        head = (
            f"conformance: covered {len(self.covered)} / {bound} rows that bind Finial "
            f"({len(NOT_OURS)} rows do not: {told})"
        )
        uncovered = [
            f"  uncovered {row}: {UNCOVERED.get(row) or complaint}"
            for row, complaint in self.missing.items()
        ]
        return [head, *uncovered]
