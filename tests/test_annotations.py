"""Annotations of the code that decides on trust can be evaluated, by whoever reads them."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING, Any

import pytest

import finial.server.registry
import finial.spiffe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

MODULES = [
    found
    for package in (finial.spiffe, finial.server.registry)
    for found in (
        package.__name__,
        *(m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")),
    )
]


def for_type_checkers(module: ModuleType) -> list[ast.stmt]:
    """What the module does for type checkers only: imports, which here would run in circles."""
    return [
        statement
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
    ]


def annotated(place: ModuleType | type) -> Iterator[Any]:
    """Every function and class that a module or class defines, however it is wrapped."""
    name = place.__name__ if inspect.ismodule(place) else place.__module__
    for value in vars(place).values():
        inner = getattr(value, "fget", None) or getattr(value, "__wrapped__", None)
        found = inner or getattr(value, "__func__", value)
        if getattr(found, "__module__", None) == name and inspect.isroutine(found):
            yield found
        elif getattr(found, "__module__", None) == name and inspect.isclass(found):
            yield found
            yield from annotated(found)


@pytest.mark.parametrize("name", MODULES)
def test_annotations_name_types_that_exist(name: str) -> None:
    module = importlib.import_module(name)
    names = dict(vars(module))
    exec(compile(ast.Module(for_type_checkers(module), []), name, "exec"), names)
    for thing in (module, *annotated(module)):
        # NameError: a name that is no longer imported; TypeError: no type at all.
        inspect.get_annotations(thing, globals=names, eval_str=True)


@pytest.mark.parametrize("name", MODULES)
def test_what_only_annotations_need_is_not_imported_at_run_time(name: str) -> None:
    module = importlib.import_module(name)
    names: dict[str, Any] = {}
    exec(compile(ast.Module(for_type_checkers(module), []), name, "exec"), names)
    assert not (names.keys() - {"__builtins__"}) & vars(module).keys()
