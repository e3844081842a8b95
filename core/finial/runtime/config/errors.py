"""What can be wrong with a configuration: where, which key, what, and the way out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place: line and column count from 1; line 0 stands for the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong. `key` is dotted (`server.bind_port`), or empty for the text itself."""

    mark: Mark
    key: str
    message: str
    way_out: str = ""

    def __str__(self) -> str:
        text = (
            f"{self.mark}: {self.key}: {self.message}"
            if self.key
            else (f"{self.mark}: {self.message}")
        )
        return f"{text}; {self.way_out}" if self.way_out else text


class ConfigError(Exception):
    """A configuration that cannot be used. `problems` holds everything found, by position."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.mark))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def at(cls, mark: Mark, message: str, way_out: str = "") -> Self:
        """The error of a text that cannot even be read."""
        return cls([Problem(mark, "", message, way_out)])


class FieldError(ValueError):
    """Raised by a field's validator: what is wrong with the value, and the way out."""

    def __init__(self, message: str, way_out: str = "") -> None:
        super().__init__(message)
        self.way_out = way_out
