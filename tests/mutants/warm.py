"""What the first process imports, so that the thousands that it forks need not.

Everything that the tests import, but for the changed files and what depends on them: that must be
imported anew in each forked process, over the changed file.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def import_unaffected(modules: Mapping[str, str | None], changed: Iterable[str]) -> None:
    """Import what does not depend on the changed files.

    Args:
        modules: the names of what the tests import, in the order of import, each with its file,
            which is None for what has none.
        changed: files, from the working directory, which is the root of the tree.
    """
    tree = Path.cwd()
    affected = _affected(_imports(modules, tree), {str(tree / path) for path in changed}, modules)
    for name, file in modules.items():
        if name in affected or _only_pytest_loads(name, file, tree):
            continue
        try:
            import_module(name)
        except ImportError:
            continue  # a name that only another module puts there


def keep_rsa_keys(count: int = 8) -> None:
    """Make keys of the usual size beforehand: many test files begin with one, which takes longest.

    Each forked process has the same ones, and each key is given away once in it.
    """
    make = rsa.generate_private_key
    kept = [make(public_exponent=65537, key_size=2048) for _ in range(count)]

    def give(public_exponent: int, key_size: int, backend: object = None) -> rsa.RSAPrivateKey:
        if (public_exponent, key_size) == (65537, 2048) and kept:
            return kept.pop()
        return make(public_exponent, key_size, backend)

    rsa.generate_private_key = give


def _only_pytest_loads(name: str, file: str | None, tree: Path) -> bool:
    """Tests are imported by pytest, under names and with hooks of its own."""
    own = file is not None and Path(file).is_relative_to(tree)
    last = name.rpartition(".")[2]
    return name == "__main__" or (own and (last == "conftest" or last.startswith("test_")))


def _imports(modules: Mapping[str, str | None], tree: Path) -> dict[str, set[str]]:
    """For each module of the tree the modules that it imports, wherever in its text, or may."""
    found: dict[str, set[str]] = {}
    for name, file in modules.items():
        if file is not None and file.endswith(".py") and Path(file).is_relative_to(tree):
            found[name] = _named_in(Path(file), name) & modules.keys()
    return found


def _named_in(file: Path, name: str) -> set[str]:
    names = {_above(name)}
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names | {_above(n) for n in names} - {""}


def _above(name: str) -> str:
    return name.rpartition(".")[0]


def _affected(
    imports: Mapping[str, set[str]], changed: set[str], modules: Mapping[str, str | None]
) -> set[str]:
    """The changed modules, and all that import them, over however many others."""
    affected = {name for name, file in modules.items() if file in changed}
    while True:
        more = {n for n, named in imports.items() if n not in affected and named & affected}
        if not more:
            return affected
        affected |= more
