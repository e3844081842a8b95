"""A command: a name, a table of flags, and the function that does it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import Flag, FlagError, HelpWanted, Values, parse, usage


@dataclass(frozen=True)
class Command:
    """What a module behind a line of a program's table holds under the name COMMAND.

    Attributes:
        name: the words after the program's name.
        flags: in any order; the help sorts them.
        run: does it; returns the exit code, raises FailureError for exit code 1 with a text.
        failure_prefix: what stands before that text.
    """

    name: str
    flags: tuple[Flag, ...]
    run: Callable[[Values, Console], int]
    failure_prefix: str = "Error: "

    def execute(self, arguments: Sequence[str], console: Console) -> int:
        """Parse, run, report; returns the exit code."""
        try:
            return self.run(parse(self.flags, arguments), console)
        except HelpWanted:
            console.warn(usage(self.name, self.flags))
            return 0
        except FlagError as error:
            console.warn(f"{error}\n{usage(self.name, self.flags)}")
            return 1
        except FailureError as error:
            console.warn(f"{self.failure_prefix}{error}")
            return 1
