from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.coverage import Prover, Total

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

TOTAL = pytest.StashKey[Total]()


@pytest.fixture(scope="session")
def prover(request: pytest.FixtureRequest) -> Iterator[Prover]:
    """Proves rows by removals; begins with all that this session will ask for."""
    with Prover() as prover:
        prover.expect(_rows_asked_for(request.session.items))
        yield prover


def _rows_asked_for(items: Iterable[pytest.Item]) -> Iterator[str]:
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "prover" in getattr(item, "fixturenames", ()):
            yield str(callspec.params["row"])


@pytest.fixture
def show_total(request: pytest.FixtureRequest) -> Callable[[Total], None]:
    """Keeps a total for the summary at the end of the session."""

    def keep(total: Total) -> None:
        request.config.stash[TOTAL] = total

    return keep


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    total = config.stash.get(TOTAL, None)
    if total is not None:
        terminalreporter.section("SPIFFE conformance")
        for line in total.lines():
            terminalreporter.write_line(line)
