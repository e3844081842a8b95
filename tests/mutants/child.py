"""What happens in a forked process: the changed module is put in place, and pytest is run.

The parent has imported what tests and code need of others, and nothing of the tree, so that the
first import of the changed module, anywhere, gives the changed one.
"""

from __future__ import annotations

import importlib
import math
import resource
import sys
import time
import warnings
from dataclasses import dataclass, field
from enum import Enum
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import CodeType

OPTIONS = (
    "-x",
    "-q",
    "-p",
    "no:cacheprovider",
    # Hypothesis works without its plugin, which reads all loaded sources at each start.
    "-p",
    "no:hypothesispytest",
    "--import-mode=importlib",
    # Nobody reads what an assertion says, and rewriting them takes longer than most tests.
    "--assert=plain",
)
MEMORY = 8 << 30
"""Bytes of address space: a mutant that eats memory fails, and not the machine."""


class Outcome(Enum):
    """What became of a mutant; all but the last are kills."""

    FAILED = "failed a test, or the making of one"
    IMPORT = "could not be imported"
    CRASHED = "crashed pytest"
    TIME = "took too long"
    SURVIVED = "survived"


@dataclass(eq=False)  # pytest keeps plugins in sets
class Run:
    """A pytest plugin that runs the wanted tests in the wanted order, and keeps what they did.

    Attributes:
        wanted: test IDs in order; None for all in theirs.
        failed: the first test that failed, "" if none did.
        broken: whether a test file could not be imported.
        seconds: how long each test took, set-up included.
    """

    wanted: Sequence[str] | None = None
    failed: str = ""
    broken: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.wanted is not None:
            rank = {test: number for number, test in enumerate(self.wanted)}
            items[:] = sorted(
                (item for item in items if item.nodeid in rank), key=lambda i: rank[i.nodeid]
            )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.broken = self.broken or report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed and not self.failed:
            self.failed = report.nodeid


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002  (the one module it loads)
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, path: str, source: str) -> None:
        self._name = module_name(path)
        self._path = str(Path(path).resolve())
        self._source = source

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _Loader(fullname, self._path, self._source)
        return spec_from_file_location(fullname, self._path, loader=loader)


def module_name(path: str) -> str:
    """The dotted name of a file below one of the tree's import roots."""
    parts = Path(path).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def put_in_place(sources: Mapping[str, str]) -> None:
    """Make imports give the changed sources, by their path."""
    for path, source in sources.items():
        if module_name(path) in sys.modules:
            raise RuntimeError(f"{path} was imported before it was changed")
        sys.meta_path.insert(0, _Finder(path, source))


def importable(path: str) -> bool:
    """Whether the changed module can be imported at all, without so much as a warning."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            importlib.import_module(module_name(path))
    except Exception:  # noqa: BLE001  (whatever a changed module may raise)
        return False
    return True


def limit(seconds: float) -> None:
    """Bound the memory of this process, and the processor time that it takes from now on."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    ends = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (ends, resource.RLIM_INFINITY))


def run_tests(run: Run, files: Sequence[str], *plugins: Any) -> Outcome:
    """Run pytest here, once, and say what came of it."""
    _tame_hypothesis()
    code = pytest.main([*OPTIONS, *files], plugins=[run, *plugins])
    # A file of tests that cannot be imported over the change, or (a usage error) a conftest.py.
    if run.failed or run.broken or code is pytest.ExitCode.USAGE_ERROR:
        return Outcome.FAILED
    if code in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        return Outcome.SURVIVED
    return Outcome.CRASHED


def _tame_hypothesis() -> None:
    """The same examples in every run, none kept, no search for a smaller one, and no clock.

    Only what a test asserts may kill; a busy machine may not.
    """
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        "mutants",
        phases=(Phase.explicit, Phase.generate),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutants")
