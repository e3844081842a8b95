"""The threat model names code and tests: all of it is there."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text()
QUOTED = re.findall(r"`([^`\n]+)`", TEXT)
TESTS = [each for each in QUOTED if "::" in each]
FILES = [each for each in QUOTED if "/" in each and each.endswith((".py", ".md", ".toml"))]


def folder_of(file: str) -> Path:
    return ROOT if "/" in file else ROOT / "tests" / "threats"


@cache
def functions_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


def test_every_test_that_is_named_exists() -> None:
    missing = []
    for each in set(TESTS) - {"file::test"}:
        file, _, name = each.partition("::")
        path = folder_of(file) / file
        if not path.is_file() or name not in functions_in(path):
            missing.append(each)
    assert missing == []
    assert len(TESTS) > 60


def test_every_file_that_is_named_exists() -> None:
    assert [each for each in FILES if not (ROOT / each).is_file()] == []
    assert len(FILES) > 25


def test_every_test_here_is_named() -> None:
    """What stands in this folder proves some claim; a claim without its proof would be missed."""
    named = {each.rpartition("/")[2] for each in TESTS}
    unnamed = [
        path.name
        for path in (ROOT / "tests" / "threats").glob("test_*.py")
        if not any(each.startswith(f"{path.name}::") for each in named)
    ]
    assert unnamed == [Path(__file__).name]
