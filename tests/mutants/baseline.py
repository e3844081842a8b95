"""The tests over the unchanged tree: do they pass, how long, and which lines does each touch."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.mutants.child import Outcome, Run, run_tests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the tests did.

    Attributes:
        seconds: by test, on the clock and while traced: more than any later run takes.
        touched: by path and line, the tests that ran it.
        modules: what was imported in the end, in the order of import, each with its file.
    """

    seconds: dict[str, float]
    touched: dict[str, dict[int, frozenset[str]]]
    modules: dict[str, str | None]

    def tests_of(self, path: str, lines: range | None) -> set[str]:
        """The tests that ran some of the lines of a file, or any line of it."""
        by_line = self.touched.get(path, {})
        return {
            t for line, tests in by_line.items() if lines is None or line in lines for t in tests
        }


@dataclass(eq=False)  # pytest keeps plugins in sets
class _Tracer:
    """A pytest plugin that notes which test runs which line of the files it watches."""

    paths: dict[str, str]
    touched: dict[str, dict[int, set[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    test: str = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.test = item.nodeid
        sys.settrace(self._call)
        try:
            return (yield)
        finally:
            sys.settrace(None)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in self.paths:
            return None
        return self._line(frame, event, argument)

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            path = self.paths[frame.f_code.co_filename]
            self.touched[path][frame.f_lineno].add(self.test)
        return self._line


def measure(sources: Sequence[str], tests: Sequence[str]) -> Baseline:
    """Run the tests over the unchanged tree; call it in a process of its own.

    Raises:
        RuntimeError: a test fails, or there is none.
    """
    run = Run()
    tracer = _Tracer({str(Path(path).resolve()): path for path in sources})
    outcome = run_tests(run, tests, tracer)
    if outcome is not Outcome.SURVIVED:
        raise RuntimeError(f"the tests fail over the unchanged tree: {outcome.value} {run.failed}")
    if not run.seconds:
        raise RuntimeError(f"no tests in {' '.join(tests)}")
    touched = {
        path: {line: frozenset(by) for line, by in lines.items()}
        for path, lines in tracer.touched.items()
    }
    modules = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return Baseline(run.seconds, touched, modules)
