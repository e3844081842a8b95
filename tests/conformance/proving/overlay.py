"""A source tree with a few files replaced: links to the real one everywhere else.

Every program that gets the tree's roots on its search path runs the edited code, also those that
tests start as processes. Nothing of the real tree is written to.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOTS = ("proto", "core", "server", "agent", "attestors")


def build(folder: Path, root: Path, files: Mapping[str, str]) -> list[str]:
    """Make the tree in an empty folder; returns the folders to import from.

    Raises ValueError for a file that is in none of the roots.
    """
    for name in ROOTS:
        inside = {file: text for file, text in files.items() if file.startswith(f"{name}/")}
        if inside:
            _mirror(
                folder / name, root / name, {file[len(name) + 1 :]: inside[file] for file in inside}
            )
        else:
            (folder / name).symlink_to(root / name)
    if strangers := [file for file in files if file.partition("/")[0] not in ROOTS]:
        raise ValueError(f"{strangers[0]} is in none of {', '.join(ROOTS)}")
    return [str(folder / name) for name in ROOTS]


def _mirror(folder: Path, original: Path, files: Mapping[str, str]) -> None:
    """A real folder of links, in which some files have another text."""
    folder.mkdir()
    below: dict[str, dict[str, str]] = {}
    for file, text in files.items():
        head, slash, rest = file.partition("/")
        if slash:
            below.setdefault(head, {})[rest] = text
        else:
            (folder / file).write_text(text)
    for entry in os.scandir(original):
        if entry.name in below:
            _mirror(folder / entry.name, original / entry.name, below[entry.name])
        elif entry.name == "__pycache__":
            _mirror_compiled(folder / entry.name, Path(entry.path), files)
        elif entry.name not in files:
            (folder / entry.name).symlink_to(entry.path)


def _mirror_compiled(folder: Path, original: Path, files: Mapping[str, str]) -> None:
    """Compiled code but that of the edited files: it is known by their size and time alone.

    The folder is real, so that what is compiled anew stays here.
    """
    folder.mkdir()
    edited = {file.removesuffix(".py") for file in files}
    for entry in os.scandir(original):
        if entry.name.partition(".")[0] not in edited:
            (folder / entry.name).symlink_to(entry.path)
