"""A configuration file as a tree that remembers where each of its values stood.

HCL, JSON and TOML all become the same tree: tables, lists and scalars. A block that is repeated
becomes a list of tables, as HCL 1 has it; where the schema wants one table, `as_table` merges.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finial.runtime.config.errors import ConfigError, Mark, Problem

MOST_DEPTH = 64
MOST_BYTES = 1024 * 1024

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]


@dataclass(slots=True)
class Node:
    """A value and the place of its key (of itself, within a list)."""

    mark: Mark
    value: "Scalar | list[Node] | dict[str, Node]"
    repeated: bool = False  # a list that came of a repeated block, not of brackets

    @property
    def tables(self) -> "list[Node] | None":
        """Itself if a table, its items if a list of nothing but tables; else None."""
        if isinstance(self.value, dict):
            return [self]
        if isinstance(self.value, list) and all(isinstance(x.value, dict) for x in self.value):
            return self.value
        return None

    def plain(self) -> Any:
        """The value as plain dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file."""

    file: str
    root: Node = field(repr=False)  # it may hold a join token

    def plain(self) -> dict[str, Any]:
        """Everything as plain dicts, lists and scalars."""
        plain = self.root.plain()
        assert isinstance(plain, dict)
        return plain

    def child(self, key: str) -> Node | None:
        """The value of a key of the root."""
        return _child(self.root, key)

    def mark(self, path: Sequence[str | int]) -> Mark:
        """The place of the value at `path`, or of the innermost table around it."""
        return mark_in(self.root, path)


def mark_in(node: Node, path: Sequence[str | int]) -> Mark:
    """The place of what lies at `path` below `node`, or of the innermost value around it."""
    for step in path:
        inner = _child(node, step)
        if inner is None:
            break
        node = inner
    return node.mark


def _child(node: Node, step: str | int) -> Node | None:
    children = node.value
    if isinstance(step, str):
        # Of a repeated block, whichever has it.
        tables = (each.value for each in node.tables or ())
        found = (each.get(step) for each in tables if isinstance(each, dict))
        return next((each for each in found if each is not None), None)
    if isinstance(children, list) and step < len(children):
        return children[step]
    return None


def insert(table: dict[str, Node], key: str, node: Node) -> None:
    """Put a key into a table; a repeated block becomes a list. ConfigError for other repetition."""
    before = table.get(key)
    if before is None:
        table[key] = node
        return
    merged = _repeat(before, node)
    if merged is None:
        raise ConfigError([duplicate(key, before, node)])
    table[key] = merged


def _repeat(before: Node, node: Node) -> Node | None:
    if not isinstance(node.value, dict):
        return None
    if isinstance(before.value, dict):
        return Node(before.mark, [before, node], repeated=True)
    if isinstance(before.value, list) and before.repeated:
        before.value.append(node)
        return before
    return None


def duplicate(key: str, before: Node, node: Node) -> Problem:
    """What to say of a key that is set twice."""
    return Problem(node.mark, key, f"set twice, first in line {before.mark.line}", "keep one")


def as_table(node: Node) -> tuple[dict[str, Node], list[Problem]] | None:
    """The one table that a table, or a list of tables, stands for; None for anything else.

    Tables under one key of several are kept as a list for the next level to merge; other values
    under one key are problems.
    """
    tables = node.tables
    if tables is None:
        return None
    merged: dict[str, Node] = {}
    problems: list[Problem] = []
    for key, child in _items(tables):
        before = merged.get(key)
        if before is None:
            merged[key] = child
        elif before.tables is not None and child.tables is not None:
            merged[key] = Node(before.mark, [*before.tables, *child.tables], repeated=True)
        else:
            problems.append(duplicate(key, before, child))
    return merged, problems


def _items(tables: Iterable[Node]) -> Iterable[tuple[str, Node]]:
    for table in tables:
        if isinstance(table.value, dict):
            yield from table.value.items()


def overridden(document: Document, section: str, overrides: Mapping[str, str]) -> Document:
    """The document with these keys of one of its sections replaced, as by command line flags."""
    if not overrides:
        return document
    mark = Mark("command line")
    root = document.root.value
    assert isinstance(root, dict)
    old = root.get(section)
    table = as_table(old) if old is not None else ({}, [])
    if table is None:
        return document  # the schema will say what is wrong with the section
    merged, problems = table
    if problems:
        raise ConfigError(problems)
    merged = dict(merged) | {key: Node(mark, value) for key, value in overrides.items()}
    new = dict(root) | {section: Node(old.mark if old else mark, dict[str, Node](merged))}
    return Document(document.file, Node(document.root.mark, dict[str, Node](new)))
