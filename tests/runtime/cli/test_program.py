import io
import os
import subprocess
import sys

import pytest

from finial.cli.main import main
from finial.runtime.cli.command import Command
from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import Values, boolean, text
from finial.runtime.cli.program import Listed, Program
from tests.fakes.program import invoke


def greet(values: Values, console: Console) -> int:
    if values.boolean("fail"):
        raise FailureError("no greeting today")
    console.show(f"hello {values.text('name')}")
    return 0


def interrupted(_values: Values, _console: Console) -> int:
    raise KeyboardInterrupt


GREET = Command("say hello", (text("name", "whom", "you"), boolean("fail", "whether")), greet)
QUIET = Command("say nothing", (boolean("fail", "x"), text("name", "y")), greet, failure_prefix="")
INTERRUPTED = Command("wait", (), interrupted)
PROGRAM = Program(
    "prog",
    (
        Listed("say", "Say hello", f"{__name__}:GREET"),
        Listed("say nothing", "Say nothing", f"{__name__}:QUIET"),
        Listed("wait", "Wait", f"{__name__}:INTERRUPTED"),
        Listed("one two", "Deep", "no.such.module:COMMAND"),
    ),
)


@pytest.fixture(autouse=True)
def _importable() -> None:
    sys.modules.setdefault(__name__, sys.modules[greet.__module__])


@pytest.mark.parametrize("arguments", [[], ["bogus"], ["-instance"], ["-", "say"]])
def test_no_command_and_an_unknown_one_print_the_usage_and_exit_127(arguments: list[str]) -> None:
    outcome = invoke(PROGRAM, *arguments)
    assert outcome.code == 127
    assert outcome.out == ""
    assert "Usage: prog [--version] [--help] <command> [<args>]" in outcome.err
    assert "say nothing  Say nothing" in outcome.err


@pytest.mark.parametrize("wish", ["-h", "--help", "-help", "help"])
def test_help_prints_the_usage_and_exits_0(wish: str) -> None:
    outcome = invoke(PROGRAM, wish)
    assert outcome.code == 0
    assert "Available commands are:" in outcome.err


@pytest.mark.parametrize("wish", ["--version", "-version", "-v"])
def test_the_version_is_printed(wish: str) -> None:
    outcome = invoke(PROGRAM, wish)
    assert outcome.code == 0
    assert outcome.out[0].isdigit()


def test_a_group_without_subcommand_lists_its_commands_and_exits_1() -> None:
    for arguments in (["one"], ["one", "bogus"]):
        outcome = invoke(PROGRAM, *arguments)
        assert outcome.code == 1
        assert "Usage: prog one <command> [<args>]" in outcome.err
        assert "two" in outcome.err
        assert "say" not in outcome.err


def test_help_on_a_group_exits_0() -> None:
    assert invoke(PROGRAM, "one", "-h").code == 0


def test_the_longest_command_wins_and_the_rest_are_its_arguments() -> None:
    assert invoke(PROGRAM, "say", "-name", "me").out == "hello me\n"
    assert invoke(PROGRAM, "say", "nothing", "-name", "me").out == "hello me\n"


def test_a_failure_is_told_on_stderr_with_exit_code_1() -> None:
    outcome = invoke(PROGRAM, "say", "-fail")
    assert (outcome.code, outcome.out, outcome.err) == (1, "", "Error: no greeting today\n")


def test_a_command_may_tell_failures_without_prefix() -> None:
    assert invoke(PROGRAM, "say", "nothing", "-fail").err == "no greeting today\n"


def test_a_bad_flag_prints_message_and_usage_and_exits_1() -> None:
    outcome = invoke(PROGRAM, "say", "-bad")
    assert outcome.code == 1
    assert outcome.err.startswith("flag provided but not defined: -bad\nUsage of say hello:\n")


def test_help_on_a_command_goes_to_stderr_and_exits_0() -> None:
    outcome = invoke(PROGRAM, "say", "-fail", "-h")
    assert outcome.code == 0
    assert outcome.out == ""
    assert outcome.err.startswith("Usage of say hello:\n")


def test_a_keyboard_interrupt_exits_130_without_a_traceback() -> None:
    outcome = invoke(PROGRAM, "wait")
    assert (outcome.code, outcome.err) == (130, "")


def test_commands_are_not_imported_before_they_are_chosen() -> None:
    assert invoke(PROGRAM, "-h").code == 0
    with pytest.raises(ModuleNotFoundError):
        invoke(PROGRAM, "one", "two")


def test_a_console_that_is_no_terminal_says_so() -> None:
    assert not Console(stdout=io.StringIO()).is_terminal


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = f"import sys; from {main.__module__} import main; sys.exit(main(['--version']))"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    outcome = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False, env=env
    )
    os.close(writing)
    assert (outcome.returncode, outcome.stderr) == (141, b"")
