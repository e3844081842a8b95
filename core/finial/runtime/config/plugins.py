"""The `plugins` section: kinds, names, and each plugin's own settings."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar, overload

from pydantic import ConfigDict

from finial.runtime.config.document import Node, Path
from finial.runtime.config.errors import Mark
from finial.runtime.config.fields import Flag
from finial.runtime.config.schema import Reader, Section, Unserved

S = TypeVar("S", bound=Section)
T = TypeVar("T", bound=Section)


@dataclass(frozen=True, slots=True)
class PluginKind:
    """One kind of plugin: how many it takes, those served with their schema, those refused."""

    served: Mapping[str, type[Section]]
    unserved: Mapping[str, str]  # name -> way out
    least: int = 0
    most: int | None = None
    # Names that other packages bring; their settings are theirs to check.
    installed: Callable[[], Collection[str]] = tuple

    def constraint(self, count: int) -> str:
        """What SPIRE says of a wrong number; empty for a right one."""
        if self.least <= count and (self.most is None or count <= self.most):
            return ""
        if self.least == self.most:
            wanted = f"exactly {self.least}"
        elif count < self.least:
            wanted = f"at least {self.least}"
        else:
            wanted = f"at most {self.most}"
        return f"constraint not satisfied: expected {wanted} but got {count}"


class _Instance(Section):
    """What surrounds every plugin's own data."""

    unserved: ClassVar[Mapping[str, Unserved]] = {
        "plugin_cmd": Unserved("external plugins do not run here; use a built-in one", ("",)),
        "plugin_args": Unserved("external plugins do not run here; remove it", ([],)),
        "plugin_checksum": Unserved("external plugins do not run here; remove it", ("",)),
        "plugin_data_file": Unserved("move its content into plugin_data { … }", ("",)),
    }
    enabled: Flag = True
    plugin_data: None = None  # known here, read by the plugin's own schema


class ForeignSettings(Section):
    """The data of a plugin that another package brings, as it stands in the file."""

    model_config = ConfigDict(extra="allow")


def read_plugins(
    reader: Reader, node: Node | None, kinds: Mapping[str, PluginKind], around: Mark
) -> dict[str, dict[str, Section]]:
    """The settings of every enabled plugin, by kind and name.

    Problems, also of number, go to the reader; `around` is the place of a section that is missing.
    """
    path: Path = ("plugins",)
    found: dict[str, dict[str, Section]] = {kind: {} for kind in kinds}
    counts = dict.fromkeys(kinds, 0)
    table = reader.table(node, path) if node is not None else {}
    for kind, child in (table or {}).items():
        if kind not in kinds:
            reader.unknown(child, (*path, kind), kinds, "kind of plugin")
            continue
        for name, instance in (reader.table(child, (*path, kind)) or {}).items():
            here = (*path, kind, name)
            enabled, settings = _read_one(reader, kinds[kind], instance, here)
            counts[kind] += enabled
            if settings is not None:
                found[kind][name] = settings
    _check_counts(reader, node.mark if node else around, kinds, counts)
    return found


@overload
def only(found: Mapping[str, Section], kind: type[S], /) -> S: ...
@overload
def only(found: Mapping[str, Section], kind: type[S], other: type[T], /) -> S | T: ...
def only(found: Mapping[str, Section], *kinds: type[Section]) -> Section:
    """The one plugin of a kind that takes exactly one."""
    [settings] = found.values()
    assert isinstance(settings, kinds)
    return settings


def _read_one(
    reader: Reader, kind: PluginKind, node: Node, path: Path
) -> tuple[bool, Section | None]:
    """Whether the plugin counts, and its settings if they are sound."""
    tables = node.tables or []
    if len(tables) > 1:
        reader.problem(tables[1].mark, path, "is configured twice", "keep one")
        return True, None
    table = reader.table(node, path)
    if table is None:
        return True, None
    outer = Node(node.mark, {key: x for key, x in table.items() if key != "plugin_data"})
    instance = reader.read(_Instance, outer, path)
    if instance is not None and not instance.enabled:
        return False, None
    return True, _settings(reader, kind, node, table.get("plugin_data"), path)


def _settings(
    reader: Reader, kind: PluginKind, node: Node, data: Node | None, path: Path
) -> Section | None:
    name = str(path[-1])
    data = data or Node(node.mark, {})
    if name not in kind.served and name in kind.installed():
        table = reader.table(data, (*path, "plugin_data"))
        return ForeignSettings(**Node(data.mark, table).plain()) if table is not None else None
    if name in kind.unserved:
        reader.problem(node.mark, path, "is not served by Finial", kind.unserved[name])
        return None
    if name not in kind.served:
        reader.unknown(node, path, [*kind.served, *kind.unserved], "plugin")
        return None
    return reader.read(kind.served[name], data, (*path, "plugin_data"))


def _check_counts(
    reader: Reader, mark: Mark, kinds: Mapping[str, PluginKind], counts: Mapping[str, int]
) -> None:
    for kind, count in counts.items():
        complaint = kinds[kind].constraint(count)
        if complaint:
            names = " or ".join(kinds[kind].served)
            reader.problem(mark, ("plugins", kind), complaint, f"configure one of: {names}")
