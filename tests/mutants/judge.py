"""Judge all mutants of some files by some tests, in the tree that is the working directory.

1. The tests run once over the unchanged tree, traced: which test runs which line.
2. They run once more over the unchanged tree, as they will over the changed: the quickest first.
3. Each mutant is judged by the tests that are likely to notice: those that noticed most of the
   other mutants of its file, and the quickest of those that run its line; then by all that run its
   function; then by all there are. Only what passes all of them survives.
4. Each test that killed runs alone over the unchanged tree. One that fails there, or in step 1 or
   2, kills nothing but the run.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from tests.mutants.baseline import Baseline, measure
from tests.mutants.child import Outcome, Run, importable, limit, put_in_place, run_tests
from tests.mutants.mutant import Mutant, functions_of, mutants_of
from tests.mutants.pool import LateError, fork_each
from tests.mutants.warm import import_unaffected, keep_rsa_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Judged: TypeAlias = tuple[Mutant, Outcome, str]
"""What became of a mutant, and the test that killed it, "" for none."""
_J = TypeVar("_J")
_R = TypeVar("_R")

WALL_SECONDS = 900.0
"""For one mutant, on the clock: one that only waits ends here. One that is busy ends long before,
by its processor time, which does not depend on what else the machine does.
"""
NO_END = 1e6
"""For what is made of parts that have their end."""
IMPORT_SECONDS = 10.0
SCOUTS = 12
"""Tests that are tried before the others of a function: most mutants fall to one of them."""
KNOWN = 5
"""Tests that killed other mutants of the file, tried before even those."""


@dataclass
class Judge:
    """The judgement of one list of files by one list of tests."""

    sources: Sequence[str]
    tests: Sequence[str]
    workers: int
    logs: Path
    functions: dict[str, list[range]] = field(default_factory=dict)
    killers: Counter[str] = field(default_factory=Counter)
    """How many mutants each test killed, in the process that judges one file."""

    def __post_init__(self) -> None:
        self.functions = {path: functions_of(path) for path in self.sources}
        self.baseline = self._measure()

    def judge(self, only: Sequence[str] = ("",)) -> Iterator[Judged]:
        """Each mutant with its outcome and the test that killed it."""
        self._check([self._by_time(self.baseline.seconds)])
        chosen = [path for path in self.sources if any(text in path for text in only)]
        made = {path: list(mutants_of([path])) for path in chosen}
        largest_first = sorted(made.values(), key=len, reverse=True)
        killers: set[str] = set()
        for _, judged in self._fork(largest_first, self._judge_file, seconds=NO_END):
            if isinstance(judged, LateError):
                raise RuntimeError("a file takes too long")  # noqa: TRY004
            killers |= {test for _, _, test in judged}
            print(f"{len(judged)} mutants judged", file=sys.stderr, flush=True)
            yield from judged
        self._check([(test,) for test in sorted(killers - {""})])

    def _judge_file(self, mutants: Sequence[Mutant]) -> list[Judged]:
        """In a process of its own, which imports all that the file does not change."""
        if not mutants:
            return []
        path = mutants[0].path
        import_unaffected(self.baseline.modules, [path])
        gc.freeze()
        judged: list[Judged] = []
        folder = self.logs / path.replace("/", "_")
        folder.mkdir()
        for mutant, found in fork_each(
            mutants, self._judge_one, workers=1, seconds=WALL_SECONDS, logs=folder
        ):
            outcome, test = (Outcome.TIME, "") if isinstance(found, LateError) else found
            self.killers[test] += 1
            judged.append((mutant, outcome, test))
        return judged

    def _measure(self) -> Baseline:
        """In a process of its own, so that this one imports nothing of the tree."""
        ((_, found),) = self._fork(
            [None], lambda _: measure(self.sources, self.tests), seconds=NO_END
        )
        if isinstance(found, LateError):
            raise RuntimeError("the tests take too long over the unchanged tree")  # noqa: TRY004
        return found

    def _check(self, groups: Iterable[tuple[str, ...]]) -> None:
        def work(group: tuple[str, ...]) -> tuple[Outcome, str]:
            run = Run(group)
            return run_tests(run, _files(group)), run.failed

        for group, found in self._fork(groups, work):
            if isinstance(found, LateError) or found[0] is not Outcome.SURVIVED:
                raise RuntimeError(f"tests fail over the unchanged tree: {found}: {group}")

    def _judge_one(self, mutant: Mutant) -> tuple[Outcome, str]:
        """In a forked process: each job is taken, and its killers known, when it is forked."""
        rounds = self._rounds(mutant)
        put_in_place({mutant.path: mutant.source()})
        limit(IMPORT_SECONDS)
        if not importable(mutant.path):
            return Outcome.IMPORT, ""
        for tests in rounds:
            limit(self._patience(tests))
            run = Run(tests)
            outcome = run_tests(run, _files(tests))
            if outcome is not Outcome.SURVIVED:
                return outcome, run.failed
        return Outcome.SURVIVED, ""

    def _group(self, mutant: Mutant) -> tuple[str, ...]:
        """The tests that run the mutant's function, or its file when it is in none."""
        around = [lines for lines in self.functions[mutant.path] if mutant.lines[0] in lines]
        innermost = min(around, key=len, default=None)
        tests = self.baseline.tests_of(mutant.path, innermost)
        return self._by_time(tests)

    def _by_time(self, tests: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(tests, key=lambda test: (self.baseline.seconds[test], test)))

    def _rounds(self, mutant: Mutant) -> list[list[str]]:
        """All tests in three rounds, none twice; empty rounds are left out."""
        first, last = mutant.lines
        at_once = self.baseline.tests_of(mutant.path, range(first, last + 1))
        known = [test for test, _ in self.killers.most_common(KNOWN + 1) if test]
        scouts = [*known, *self._by_time(at_once)[:SCOUTS]]
        seen: set[str] = set()
        rounds: list[list[str]] = []
        for tests in (scouts, self._group(mutant), self._by_time(self.baseline.seconds)):
            rounds.append([test for test in dict.fromkeys(tests) if test not in seen])
            seen |= set(tests)
        return [tests for tests in rounds if tests]

    def _patience(self, tests: Sequence[str]) -> float:
        return 3.0 + 5.0 * sum(self.baseline.seconds[test] for test in tests)

    def _fork(
        self, jobs: Iterable[_J], work: Callable[[_J], _R], *, seconds: float = WALL_SECONDS
    ) -> Iterator[tuple[_J, _R | LateError]]:
        return fork_each(jobs, work, workers=self.workers, seconds=seconds, logs=self.logs)


def _files(tests: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(test.partition("::")[0] for test in tests))


def _result(mutant: Mutant, outcome: Outcome, test: str) -> dict[str, Any]:
    return {
        "path": mutant.path,
        "within": mutant.within,
        "operator": mutant.operator,
        "line": mutant.lines[0],
        "outcome": outcome.name,
        "test": test,
        "change": mutant.difference() if outcome is Outcome.SURVIVED else None,
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", nargs="+", required=True)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=[""], help="texts in the paths to change")
    parser.add_argument(
        "--results", type=Path, required=True, help="file for a line of JSON a mutant"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as logs:
        judge = Judge(options.sources, options.tests, options.workers, Path(logs))
        import_unaffected(judge.baseline.modules, options.sources)
        keep_rsa_keys()
        gc.freeze()
        with options.results.open("w") as results:
            for judged in judge.judge(options.only):
                print(json.dumps(_result(*judged)), file=results, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
