import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from finial.cli.main import PROGRAM
from finial.cli.sides import GROUP, SideProgram
from tests.fakes.program import invoke

INSTALLED = {entry.name for entry in entry_points(group=GROUP)}
installed = pytest.mark.skipif(
    not {"server", "agent"} <= INSTALLED, reason="run `pip install -e .` to register the programs"
)


def test_the_help_names_what_there_is() -> None:
    outcome = invoke(PROGRAM, "help")
    assert outcome.code == 0
    for word in ("up", "server", "agent"):
        assert f"    {word:<6}  " in outcome.err


def test_no_command_and_an_unknown_one_exit_127() -> None:
    assert invoke(PROGRAM).code == 127
    outcome = invoke(PROGRAM, "serve")
    assert outcome.code == 127
    assert outcome.err.startswith('unknown command "serve"\n')


@installed
@pytest.mark.parametrize("side", ["server", "agent"])
def test_a_sides_commands_are_handed_over_whole(side: str) -> None:
    words = [sys.executable, "-m", "finial.cli.main", side]
    usage = subprocess.run([*words, "-h"], capture_output=True, text=True, check=False)
    assert usage.returncode == 0
    assert usage.stderr.startswith(f"Usage: finial {side} [--version] [--help] <command>")
    unknown = subprocess.run([*words, "bogus"], capture_output=True, text=True, check=False)
    assert unknown.returncode == 127
    command = subprocess.run(
        [*words, "healthcheck", "-socketPath", "/no/such"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert command.returncode == 1
    assert "unhealthy" in command.stderr


def test_a_side_that_is_not_installed_is_told() -> None:
    class Nowhere:
        text = ""

        def warn(self, text: str) -> None:
            self.text += text

    console = Nowhere()
    assert SideProgram("no-such-side").execute([], console) == 127  # type: ignore[arg-type]
    assert "install the package `finial` with pip" in console.text


FORBIDDEN = ("pydantic", "sqlalchemy", "alembic", "rich", "uvloop", "finial.runtime.config")


@pytest.mark.parametrize(
    ("module", "words", "further"),
    [
        ("finial.server.cli.main", "entry show", ("finial.server.app",)),
        ("finial.server.cli.main", "bundle show", ("finial.server.app",)),
        ("finial.server.cli.main", "debug getinfo", ("finial.server.app",)),
        ("finial.server.cli.main", "jwt mint -ttl 1h", ("finial.server.app",)),
        ("finial.agent.cli.main", "api fetch x509 -timeout 1s", ("finial.agent.app",)),
        ("finial.cli.main", "up -h", ("finial.server", "finial.agent")),
    ],
)
def test_client_commands_load_nothing_that_only_daemons_need(
    module: str, words: str, further: tuple[str, ...]
) -> None:
    code = (
        f"import sys, {module}\n"
        f"{module}.main({words.split()!r} + ['-socketPath', '/no/such'])\n"
        f"print(*(name for name in {FORBIDDEN + further!r} if name in sys.modules))\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert outcome.stdout.strip() == ""
