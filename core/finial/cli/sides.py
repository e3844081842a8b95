"""`finial server …` and `finial agent …`: the programs that the installation has registered."""

from collections.abc import Sequence
from dataclasses import dataclass

from finial.runtime.cli.console import Console
from finial.runtime.cli.program import UNKNOWN

GROUP = "finial.commands"


@dataclass(frozen=True)
class SideProgram:
    """One of them; whatever follows its word is its own affair."""

    word: str

    def execute(self, arguments: Sequence[str], console: Console) -> int:
        """Load the program and run it."""
        from importlib.metadata import entry_points  # noqa: PLC0415 - 30 ms that help need not wait

        for entry in entry_points(group=GROUP, name=self.word):
            code: int = entry.load()(arguments, name=f"finial {self.word}")
            return code
        console.warn(
            f"this installation has no `{self.word}`: "
            "install the package `finial` with pip, so that its programs are registered"
        )
        return UNKNOWN


SERVER = SideProgram("server")
AGENT = SideProgram("agent")
