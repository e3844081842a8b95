"""The README's tour, run as it is written.

In a block fenced as ```console a line that starts with `$ ` is a command; the lines up to the next
command are what it prints, where a line `...` stands for any lines. Without such lines the output
is not looked at. Every command must exit with 0. All of them share one shell, in a folder that
looks like a fresh clone after `make up`'s set-up.

A block fenced as ```console background has one command that goes on until the tour has ended; the
tour waits until it has printed its lines, or, when none are given, one with `Ctrl-C` in it.
"""

import os
import re
import secrets
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
SCRIPTS = Path(sysconfig.get_path("scripts"))
ANY = "..."
READY = [ANY, "Ctrl-C*", ANY]


@dataclass
class Step:
    """A command and what the README says that it prints."""

    command: str
    background: bool
    expected: list[str] = field(default_factory=list)


def steps(text: str) -> list[Step]:
    """The commands of all console blocks, in order."""
    found: list[Step] = []
    for info, body in re.findall(
        r"^```console *([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        for line in body.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], background=info.strip() == "background"))
            else:
                found[-1].expected.append(line)
    return found


def matches(expected: list[str], printed: list[str]) -> bool:
    """Whether the lines are as expected; a `*` at a line's end stands for the rest of it."""
    pattern = "".join(
        r"(?:[^\n]*\n)*"
        if line == ANY
        else re.escape(line.removesuffix("*")) + (r"[^\n]*\n" if line.endswith("*") else r"\n")
        for line in expected
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


# -- the rules of the tour ---------------------------------------------------------------


def test_commands_and_their_output_are_told_apart() -> None:
    text = (
        "a\n```console background\n$ make up\n```\n```console\n$ one $x\nout\n\n$ two\n```\n"
        "```\n$ none of ours\n```\n"
    )
    assert steps(text) == [
        Step("make up", background=True),
        Step("one $x", background=False, expected=["out", ""]),
        Step("two", background=False),
    ]


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a"], ["a", "b"], False),
        (["a", ANY], ["a"], True),
        (["a", ANY], ["a", "b", "c"], True),
        ([ANY, "c"], ["a", "b", "c"], True),
        ([ANY, "c"], ["a", "b"], False),
        (["a*"], ["abc"], True),
        (["a.c"], ["abc"], False),
    ],
)
def test_dots_stand_for_any_lines(expected: list[str], printed: list[str], fits: bool) -> None:
    assert matches(expected, printed) is fits


# -- the tour ----------------------------------------------------------------------------


@pytest.mark.timeout(300)
@pytest.mark.skipif(
    not (SCRIPTS / "finial").exists(), reason="run `pip install -e .` to install the programs"
)
def test_the_tour_works_as_written(tmp_path: Path) -> None:
    clone = like_a_clone(tmp_path / "clone")
    with shell(clone) as run:
        for step in steps(README.read_text()):
            run(step)


def like_a_clone(folder: Path) -> Path:
    """A folder with the repository's Makefile and this very virtual environment."""
    (folder / ".venv").mkdir(parents=True)
    for part in Path(sys.prefix).iterdir():
        if part.name not in {"run", "dev"}:
            (folder / ".venv" / part.name).symlink_to(part)
    for name in ("Makefile", "pyproject.toml", "tools"):
        (folder / name).symlink_to(REPOSITORY / name)
    for marker in ("run", "dev"):
        (folder / ".venv" / marker).touch()
    return folder


class Shell:
    """One bash for all commands, and the background ones beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        kept = ("HOME", "PATH", "LANG", "TMPDIR", "USER")
        self._env = {name: os.environ[name] for name in kept if name in os.environ}
        self._bash = self._start(["bash"])
        self._background: list[subprocess.Popen[str]] = []

    def __call__(self, step: Step) -> None:
        if step.background:
            self._run_beside(step)
            return
        code, printed = self._run(step.command)
        told = "\n".join(printed)
        assert code == 0, f"$ {step.command}\nexit code {code}\n{told}"
        assert not step.expected or matches(step.expected, printed), f"$ {step.command}\n{told}"

    def _start(self, words: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words,
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _run(self, command: str) -> tuple[int, list[str]]:
        end = secrets.token_hex(8)
        stdin, stdout = pipes(self._bash)
        stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n{end} %s\\n' $?\n")
        stdin.flush()
        lines: list[str] = []
        while True:
            line = stdout.readline()
            assert line, f"the shell has ended at $ {command}\n" + "\n".join(lines)
            if line.startswith(end):
                if lines and not lines[-1]:
                    lines.pop()
                return int(line.split()[1]), lines
            lines.append(line.rstrip("\n"))

    def _run_beside(self, step: Step) -> None:
        process = self._start(["bash", "-c", step.command])
        self._background.append(process)
        _, stdout = pipes(process)
        printed: list[str] = []
        while not matches(step.expected or READY, printed):
            line = stdout.readline()
            assert line, f"$ {step.command}\nhas ended\n" + "\n".join(printed)
            printed.append(line.rstrip("\n"))

    def close(self) -> None:
        """End the background commands as Ctrl-C would, then the shell."""
        for process in self._background:
            os.killpg(process.pid, signal.SIGINT)
            process.communicate(timeout=60)
        self._bash.communicate(timeout=60)


def pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    """Standard input and output of a process that was started with both."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


@contextmanager
def shell(folder: Path) -> Iterator[Shell]:
    """A shell that stops what it has started."""
    opened = Shell(folder)
    try:
        yield opened
    finally:
        opened.close()
