from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from finial.agent.cli.main import PROGRAM
from tests.fakes.background import served
from tests.fakes.program import Outcome, invoke
from tests.fakes.workload_api import FakeWorkloadApi

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def _listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeWorkloadApi, Path]]:
    api = FakeWorkloadApi()
    socket = tmp_path_factory.mktemp("workload") / "api.sock"
    with served(socket, api.add_to):
        yield api, socket


@pytest.fixture
def api(_listening: tuple[FakeWorkloadApi, Path]) -> FakeWorkloadApi:
    """The fake behind the socket, as new."""
    api = _listening[0]
    vars(api).update(vars(FakeWorkloadApi(ca=api.ca, other=api.other)))
    return api


@pytest.fixture
def run(_listening: tuple[FakeWorkloadApi, Path], api: FakeWorkloadApi) -> Run:
    """Runs a command line, split at spaces or given as words, against the fake."""
    del api  # it must be as new

    def run(line: str, *words: str) -> Outcome:
        env = {"SPIRE_AGENT_PUBLIC_SOCKET": str(_listening[1])}
        return invoke(PROGRAM, *line.split(), *words, env=env)

    return run
