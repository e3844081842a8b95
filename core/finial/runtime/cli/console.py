"""The streams and the environment of one invocation, passed in so that tests can hold them."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(frozen=True)
class Console:
    """Where a command reads from and writes to."""

    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def show(self, text: str = "", end: str = "\n") -> None:
        """Write to standard output."""
        self.stdout.write(text + end)

    def warn(self, text: str, end: str = "\n") -> None:
        """Write to standard error."""
        self.stderr.write(text + end)

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches standard output."""
        return self.stdout.isatty()
