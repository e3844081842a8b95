"""A program: the table of its commands, and the way from the arguments to one of them.

A command's module is imported when it is chosen, never before.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Protocol, cast

from finial.runtime.cli.console import Console

UNKNOWN = 127
"""Exit code for no command, or one that does not exist: SPIRE's."""
INTERRUPTED = 130
BROKEN_PIPE = 141

VERSION_FLAGS = frozenset({"-v", "-version", "--version"})
HELP_WORDS = frozenset({"-h", "-help", "--help", "help"})


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the table: the words, what they do, and `module:NAME` of the command."""

    words: str
    summary: str
    target: str

    def load(self) -> "Executable":
        """Import the command."""
        module, _, name = self.target.partition(":")
        return cast("Executable", getattr(import_module(module), name))


class Executable(Protocol):
    """A Command, or what stands for a whole program."""

    def execute(self, arguments: Sequence[str], console: Console) -> int:
        """Run with the arguments that follow the words; returns the exit code."""
        ...


@dataclass(frozen=True)
class Program:
    """Finds the command that the first arguments name, and runs it."""

    name: str
    commands: tuple[Listed, ...]

    def main(self, arguments: Sequence[str], console: Console | None = None) -> int:
        """Run one invocation; returns the exit code."""
        console = console or Console()
        try:
            code = self._dispatch(list(arguments), console)
            console.stdout.flush()
        except BrokenPipeError:
            # Whoever read us has enough; the interpreter must not complain of it once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        except KeyboardInterrupt:
            return INTERRUPTED
        return code

    def _dispatch(self, arguments: list[str], console: Console) -> int:
        if arguments and arguments[0] in VERSION_FLAGS:
            console.show(version())
            return 0
        if arguments and arguments[0] in HELP_WORDS:
            console.warn(self.usage())
            return 0
        if not arguments or arguments[0].startswith("-"):
            console.warn(self.usage())
            return UNKNOWN
        chosen = self._find(arguments)
        if chosen is not None:
            words = chosen.words.split()
            return chosen.load().execute(arguments[len(words) :], console)
        group = self._group(arguments)
        if not group:
            console.warn(f'unknown command "{arguments[0]}"\n\n{self.usage()}')
            return UNKNOWN
        console.warn(self.usage(group))
        return 0 if HELP_WORDS.intersection(arguments) else 1

    def _find(self, arguments: list[str]) -> Listed | None:
        """The command with the most words that the arguments begin with."""
        fitting = [each for each in self.commands if _begins(arguments, each.words.split())]
        return max(fitting, key=lambda each: len(each.words.split()), default=None)

    def _group(self, arguments: list[str]) -> str:
        """The longest beginning of the arguments that several commands share; empty for none."""
        for length in range(len(arguments), 0, -1):
            if any(_begins(each.words.split(), arguments[:length]) for each in self.commands):
                return " ".join(arguments[:length])
        return ""

    def usage(self, group: str = "") -> str:
        """The help of the program, or of a group of its commands."""
        inside = f"{group} " if group else ""
        rows = _rows(
            (each.words.removeprefix(inside), each.summary)
            for each in self.commands
            if each.words.startswith(inside)
        )
        words = f"{self.name} {group}".rstrip()
        options = "" if group else "[--version] [--help] "
        head = f"Usage: {words} {options}<command> [<args>]"
        return (
            f"{head}\n\nAvailable commands are:\n{rows}\n\n`{words} <command> -h` lists its flags."
        )

    def named(self, name: str) -> "Program":
        """The same under another name."""
        return replace(self, name=name)


def version() -> str:
    """The version of the installed package."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 30 ms

    try:
        return version("finial")
    except PackageNotFoundError:
        return "0.0.0+source"


def _begins(words: Sequence[str], with_words: Sequence[str]) -> bool:
    return list(words[: len(with_words)]) == list(with_words)


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    rows = sorted(rows)
    width = max(len(words) for words, _ in rows)
    return "\n".join(f"    {words:<{width}}  {summary}" for words, summary in rows)
