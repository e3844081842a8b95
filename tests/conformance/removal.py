"""Removals: edits of the source that take a rule out, to prove that a test holds it.

A row of the checklist is covered when its tests pass, and when for each of its removals at least
one of them fails. `removals/<family>.py` lists them by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


class RemovalError(Exception):
    """A removal does not fit the source as it is; names the file and the text."""


@dataclass(frozen=True)
class Removal:
    """The smallest edit without which a rule no longer holds.

    Attributes:
        file: path from the repository's root, in one of its five source roots.
        old: text that stands in the file exactly once.
        new: what takes its place. It must be code that runs: a rule taken out, not a program
            broken.
        others: edits that go with it, where a rule is held in two places on purpose.
    """

    file: str
    old: str
    new: str
    others: tuple[Self, ...] = ()

    @classmethod
    def together(cls, first: tuple[str, str, str], *others: tuple[str, str, str]) -> Self:
        """Several edits (file, old, new) that take out one rule between them."""
        return cls(*first, others=tuple(cls(*each) for each in others))

    @property
    def edits(self) -> tuple[Self, ...]:
        """Every edit, each for itself."""
        return (self, *self.others)

    def edited(self, root: Path) -> dict[str, str]:
        """The new text of each file that is changed, by path.

        Raises:
            RemovalError: a file is missing, or the text to replace is not there exactly once.
        """
        texts: dict[str, str] = {}
        for edit in self.edits:
            text = texts.get(edit.file) or _read(root, edit.file)
            times = text.count(edit.old)
            if times != 1:
                raise RemovalError(f"{edit.file}: {edit.old!r} stands there {times} times, not 1")
            texts[edit.file] = text.replace(edit.old, edit.new)
        return texts


def _read(root: Path, file: str) -> str:
    try:
        return (root / file).read_text()
    except OSError as error:
        raise RemovalError(f"{file}: {error.strerror}") from None
