"""The list of mutants that no test kills, each with the reason: survivors.toml.

An entry names a mutant by what it changes and not by a line number, so that it outlives edits
elsewhere in the file, and dies with an edit of the line::

    [[survivor]]
    path = "core/finial/spiffe/x.py"
    within = "function_or_class"
    was = "the line, or the lines joined by a space"
    becomes = ["the changed line", "another change of it"]
    reason = "why no test can tell, or need not"
"""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Change(NamedTuple):
    """What a mutant changes."""

    path: str
    within: str
    was: str
    becomes: str


def read(path: Path) -> dict[Change, str]:
    """The reasons by change.

    Raises:
        ValueError: an entry without reason, or one that lacks a member.
    """
    reasons: dict[Change, str] = {}
    for entry in tomllib.loads(path.read_text("utf-8")).get("survivor", ()):
        try:
            where = (entry["path"], entry["within"], entry["was"])
            changes, reason = entry["becomes"], str(entry["reason"]).strip()
        except KeyError as error:
            raise ValueError(f"{path}: an entry lacks {error}: {entry}") from None
        if not reason:
            raise ValueError(f"{path}: an entry has no reason: {entry}")
        reasons |= dict.fromkeys((Change(*where, becomes) for becomes in changes), reason)
    return reasons


def write(changes: Iterable[Change]) -> str:
    """Entries for survivors that are not in the list; the reasons are left for a person."""
    by_line: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for change in changes:
        by_line[change[:3]].append(change.becomes)
    return "\n".join(_entry(*where, becomes) for where, becomes in by_line.items())


def _entry(path: str, within: str, was: str, becomes: list[str]) -> str:
    lines = "".join(f"    {_text(line)},\n" for line in becomes)
    return (
        f"[[survivor]]\npath = {_text(path)}\nwithin = {_text(within)}\nwas = {_text(was)}\n"
        f'becomes = [\n{lines}]\nreason = ""\n'
    )


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
