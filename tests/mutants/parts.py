"""What is changed, and the tests that have to notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOTS = ("proto", "core", "server", "agent", "attestors")


@dataclass(frozen=True, slots=True)
class Part:
    """Files and folders of code, and patterns of test files, from the root of the tree."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]
    left_out: str = ""
    """A pattern of test files that are not asked."""

    def source_files(self, tree: Path) -> list[str]:
        return _files(tree, self.sources, "**/*.py")

    def test_files(self, tree: Path) -> list[str]:
        found = _files(tree, self.tests, "**/test_*.py")
        return [file for file in found if not Path(file).match(self.left_out or "/")]


def _files(tree: Path, patterns: Iterable[str], below: str) -> list[str]:
    """Every pattern must find something: a file that was renamed would be left out in silence."""
    files: dict[str, None] = {}
    for pattern in patterns:
        found = [
            file
            for place in sorted(tree.glob(pattern))
            for file in (sorted(place.glob(below)) if place.is_dir() else [place])
        ]
        if not found:
            raise FileNotFoundError(f"{pattern} finds no file in {tree}; mend parts.py")
        files |= dict.fromkeys(str(file.relative_to(tree)) for file in found)
    return list(files)


PARTS = {
    "spiffe": Part(
        ("core/finial/spiffe",),
        (
            "tests/spiffe",
            "tests/test_annotations.py",
            "tests/conformance/test_id.py",
            "tests/conformance/test_x509.py",
            "tests/conformance/test_jwt.py",
            "tests/conformance/test_bnd.py",
            "tests/conformance/test_bnd_maps.py",
            "tests/conformance/test_wit.py",
            "tests/conformance/test_fed_documents.py",
        ),
        # They throw thousands of random texts, take ten times as long as all others together, and
        # kill by chance.
        left_out="*strangers.py",
    ),
    # Who may call: the table, the gate, what handlers ask of it, and the judgement of agents.
    "authorization": Part(
        (
            "server/finial/server/api/authorization.py",
            "server/finial/server/api/gate.py",
            "server/finial/server/api/caller.py",
            "server/finial/server/registry/agents.py",
        ),
        (
            "tests/server/api/test_authorization*.py",
            "tests/server/api/test_gate*.py",
            "tests/server/api/test_caller*.py",
            "tests/server/registry/test_agents.py",
            "tests/test_annotations.py",
        ),
    ),
}
