"""The rows that a test's name names: `test_X509_09_to_12_…`, `test_WL_17_20_and_28_…`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_DEFINITION = re.compile(r"^(?:async )?def (test_[A-Z]\w*)\(", re.MULTILINE)
_FAMILY = re.compile(r"[A-Z][A-Z0-9]+")
_NUMBER = re.compile(r"\d\d")


def rows_of(name: str) -> list[str]:
    """The rows at the beginning of a test's name, in its order; none for another test."""
    family = ""
    numbers: list[tuple[str, int]] = []
    until = False
    for word in name.removeprefix("test_").split("_"):
        if _NUMBER.fullmatch(word) and family:
            first = numbers[-1][1] + 1 if until else int(word)
            numbers.extend((family, number) for number in range(first, int(word) + 1))
            until = False
        elif word == "to" and numbers:
            until = True
        elif _FAMILY.fullmatch(word):
            family = word
        elif word != "and":
            break
    return [f"{family}-{number:02}" for family, number in numbers]


def named_tests(folder: Path, root: Path) -> dict[str, list[str]]:
    """The pytest node IDs of each row's tests below a folder."""
    found: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("test_*.py")):
        for name in _DEFINITION.findall(file.read_text()):
            for row in rows_of(name):
                found.setdefault(row, []).append(f"{file.relative_to(root)}::{name}")
    return found
