from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from finial.server.cli.main import PROGRAM
from tests.fakes.admin_api import FakeAdminApi
from tests.fakes.background import served
from tests.fakes.program import Outcome, invoke

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def _listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeAdminApi, Path]]:
    api = FakeAdminApi()
    socket = tmp_path_factory.mktemp("admin") / "api.sock"
    with served(socket, api.add_to):
        yield api, socket


@pytest.fixture
def api(_listening: tuple[FakeAdminApi, Path]) -> FakeAdminApi:
    """The fake behind the socket, as new."""
    api = _listening[0]
    vars(api).update(vars(FakeAdminApi(ca=api.ca)))
    return api


@pytest.fixture
def run(_listening: tuple[FakeAdminApi, Path], api: FakeAdminApi) -> Run:
    """Runs a command line, split at spaces or given as words, against the fake."""
    del api  # it must be as new

    def run(line: str, *words: str, stdin: str = "") -> Outcome:
        env = {"SPIRE_SERVER_PRIVATE_SOCKET": str(_listening[1]), "TZ": "UTC"}
        return invoke(PROGRAM, *line.split(), *words, stdin=stdin, env=env)

    return run
