"""The mutants of a source file, as cosmic-ray makes them: all its operators, none left out."""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to one file.

    Attributes:
        path: of the file, from the root of the tree.
        operator: cosmic-ray's name of the kind of change.
        occurrence: which of the places where the operator applies to the file.
        lines: first and last line of the place.
        within: the innermost function or class, "" at the level of the module.
    """

    path: str
    operator: str
    occurrence: int
    lines: tuple[int, int]
    within: str

    def source(self) -> str:
        """The whole changed file.

        Raises:
            LookupError: cosmic-ray does not make the mutant that it announced.
        """
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        changed = mutate_code(self.original(), get_operator(self.operator)(), self.occurrence)
        if changed is None:
            raise LookupError(f"{self.path}: {self.operator} has no place {self.occurrence}")
        return str(changed)

    def original(self) -> str:
        return Path(self.path).read_text("utf-8")

    def difference(self) -> tuple[str, str]:
        """The lines that are changed, before and after, without the white space around them."""
        changed = [
            line
            for line in difflib.ndiff(self.original().split("\n"), self.source().split("\n"))
            if line.startswith(("- ", "+ "))
        ]
        return _joined(changed, "- "), _joined(changed, "+ ")


def _joined(lines: Sequence[str], mark: str) -> str:
    return " ".join(line[2:].strip() for line in lines if line.startswith(mark)).strip()


def mutants_of(paths: Sequence[str]) -> Iterator[Mutant]:
    """All mutants of some files, in the order of the files."""
    from cosmic_ray.commands import init
    from cosmic_ray.work_db import WorkDB, use_db

    with use_db(":memory:", WorkDB.Mode.create) as database:
        init([Path(path) for path in paths], database, {})
        for item in database.work_items:
            for spec in item.mutations:
                yield Mutant(
                    str(spec.module_path),
                    spec.operator_name,
                    spec.occurrence,
                    (spec.start_pos[0], spec.end_pos[0]),
                    spec.definition_name or "",
                )


def functions_of(path: str) -> list[range]:
    """The lines of each function of a file, decorators and default values included."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        range(min([node.lineno, *(d.lineno for d in node.decorator_list)]), _end_of(node) + 1)
        for node in ast.walk(ast.parse(Path(path).read_text("utf-8")))
        if isinstance(node, kinds)
    ]


def _end_of(node: ast.stmt) -> int:
    return node.lineno if node.end_lineno is None else node.end_lineno
