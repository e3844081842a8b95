"""A document checked against a schema, with every problem found in one go.

A schema is a `Section`: a pydantic model whose fields are the keys that are served, beside the
keys that are known but refused (`unserved`) and those that are accepted without effect
(`no_effect`). No key is ever ignored in silence.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from finial.runtime.config.document import Node, Path, as_table, mark_in
from finial.runtime.config.errors import ConfigError, FieldError, Mark, Problem


@dataclass(frozen=True, slots=True)
class Unserved:
    """A key of SPIRE's that we do not serve. `harmless` values mean what we do anyway."""

    way_out: str
    harmless: tuple[Any, ...] = ()


class Section(BaseModel):
    """A table of a configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    unserved: ClassVar[Mapping[str, Unserved]] = {}
    no_effect: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def variant(cls, data: Mapping[str, Any]) -> type[Self]:  # noqa: ARG003  (for subclasses)
        """Return the schema that a table with this data is to be read by."""
        return cls


S = TypeVar("S", bound=Section)


class Reader:
    """Collects what is wrong with one document, and what is merely worth a warning."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def read(self, model: type[S], node: Node, path: Path) -> S | None:
        """The section at `node`; None when it has problems, which are then in `problems`."""
        before = len(self.problems)
        model = self._variant(model, node)
        data = self._collect(model, node, path)
        if data is None:
            return None
        try:
            section = model.model_validate(data)
        except ValidationError as errors:
            self._translate(errors, node, path)
            return None
        return section if len(self.problems) == before else None

    def _variant(self, model: type[S], node: Node) -> type[S]:
        table = as_table(node)
        return model.variant({key: each.plain() for key, each in table[0].items()} if table else {})

    def problem(self, mark: Mark, path: Path, message: str, way_out: str = "") -> None:
        """Note what is wrong with the key at `path`."""
        self.problems.append(Problem(mark, dotted(path), message, way_out))

    def warn(self, mark: Mark, path: Path, message: str, way_out: str = "") -> None:
        """Note what the operator should know although it stops nothing."""
        self.warnings.append(Problem(mark, dotted(path), message, way_out))

    def refuse(self) -> None:
        """Raise ConfigError if there are problems."""
        if self.problems:
            raise ConfigError(self.problems)

    def told(self) -> tuple[Problem, ...]:
        """The warnings, in the order of the file."""
        return tuple(sorted(self.warnings, key=lambda problem: problem.mark))

    def table(self, node: Node, path: Path) -> dict[str, Node] | None:
        """The one table at `node`, repeated blocks merged; None and a problem for other values."""
        found = as_table(node)
        if found is None:
            self.problem(node.mark, path, "must be a section", f"write {path[-1]} {{ … }}")
            return None
        table, problems = found
        for each in problems:
            self.problem(each.mark, (*path, each.key), each.message, each.way_out)
        return table

    def unknown(self, node: Node, path: Path, known: Iterable[str], what: str = "key") -> None:
        """Note a key that nobody knows, with the one that it may have been meant for."""
        key = str(path[-1])
        meant = difflib.get_close_matches(key.lower(), sorted(known), n=1, cutoff=0.6)
        way_out = f"did you mean {meant[0]}?" if meant else "remove it"
        self.problem(node.mark, path, f"unknown {what}", way_out)

    def _collect(self, model: type[Section], node: Node, path: Path) -> dict[str, Any] | None:
        """What of the section pydantic is to see: the served keys, subsections checked likewise."""
        table = self.table(node, path)
        if table is None:
            return None
        data: dict[str, Any] = {}
        for key, child in table.items():
            here = (*path, key)
            if key in model.no_effect:
                self.warn(child.mark, here, f"has no effect: {model.no_effect[key]}", "remove it")
            if key in model.model_fields:
                self._collect_field(model, key, child, here, data)
            elif key in model.unserved:
                self._refuse_unserved(model.unserved[key], child, here)
            elif key not in model.no_effect:
                known = [*model.model_fields, *model.unserved, *model.no_effect]
                self.unknown(child, here, known)
        return data

    def _collect_field(
        self, model: type[Section], key: str, child: Node, path: Path, data: dict[str, Any]
    ) -> None:
        annotation = model.model_fields[key].annotation
        named = _named_sections(annotation)
        if named is not None:
            data[key] = self._read_named(named, child, path)
            return
        inner = _section_of(annotation)
        value = child.plain() if inner is None else self._collect(inner, child, path)
        if value is not None:
            data[key] = value

    def _read_named(self, model: type[Section], node: Node, path: Path) -> dict[str, Section]:
        """The sections under names that the file chooses, those that are sound."""
        table = self.table(node, path) or {}
        found = {name: self.read(model, child, (*path, name)) for name, child in table.items()}
        return {name: section for name, section in found.items() if section is not None}

    def _refuse_unserved(self, unserved: Unserved, node: Node, path: Path) -> None:
        if node.plain() not in unserved.harmless:
            self.problem(node.mark, path, "is not served by Finial", unserved.way_out)

    def _translate(self, errors: ValidationError, node: Node, path: Path) -> None:
        for error in errors.errors(include_url=False, include_input=False):
            inner = tuple(step for step in error["loc"] if not _is_tag(step))
            message, way_out = _wording(error, inner)
            if message:
                self.problem(_mark(node, inner), (*path, *inner), message, way_out)


def dotted(path: Path) -> str:
    """A path as it is written in messages: `server.bind_port`, `agent.brokers[0].id`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _named_sections(annotation: Any) -> type[Section] | None:
    """The kind of section that a field has any number of, by name; None for other fields."""
    if get_origin(annotation) is not Mapping:
        return None
    _, each = get_args(annotation)
    return each if isinstance(each, type) and issubclass(each, Section) else None


def _section_of(annotation: Any) -> type[Section] | None:
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, Section):
            return each
    return None


def _mark(node: Node, path: Path) -> Mark:
    """The place of `path` below `node`, also through a repeated block."""
    for table in node.tables or [node]:
        if isinstance(table.value, dict) and path and path[0] in table.value:
            return mark_in(table, path)
    return node.mark


def _is_tag(step: str | int) -> bool:
    """Whether pydantic put this step into a location to tell alternatives apart."""
    return isinstance(step, str) and not step.replace("_", "").isalnum()


def _wording(error: Any, path: Path) -> tuple[str, str]:
    if error["type"] == "missing":
        key = path[-1]
        return f"{key} must be configured", f"add {key} to this section"
    if error["type"] == "tuple_type":
        return "must be a list", f'write {path[-1]} = ["…"]'
    if error["type"] == "default_factory_not_called":
        return "", ""  # its cause has been told
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        return str(cause), cause.way_out
    if cause is not None:
        return str(cause), ""
    message = str(error["msg"])
    return message[:1].lower() + message[1:], ""
