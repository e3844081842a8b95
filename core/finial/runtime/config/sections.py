"""What the server's and the agent's files have in common."""

from pathlib import Path
from typing import Any, ClassVar, TypeVar

from finial.runtime.config.document import Document, Node
from finial.runtime.config.fields import FilePath, Flag, LogFormat, LogLevel
from finial.runtime.config.schema import Reader, Section, Unserved

OFF: tuple[Any, ...] = (False, "false")
METRICS = "metrics are not exported; remove the section"

S = TypeVar("S", bound=Section)


class LoggedSection(Section):
    """A daemon's main section: where its log goes, and the profiling that we do without."""

    unserved: ClassVar = {
        "profiling_enabled": Unserved("remove it, and use py-spy on the process", OFF),
    }
    no_effect: ClassVar = {
        "profiling_port": "profiling is not served",
        "profiling_freq": "profiling is not served",
        "profiling_names": "profiling is not served",
    }

    log_level: LogLevel = "info"
    log_format: LogFormat = "text"
    log_file: FilePath | None = None
    log_source_location: Flag = False


class HealthChecks(Section):
    """SPIRE's HTTP probes."""

    unserved: ClassVar = {
        "listener_enabled": Unserved("use the healthcheck command, or gRPC health", OFF),
    }
    no_effect: ClassVar = {
        "bind_address": "the HTTP listener is off",
        "bind_port": "the HTTP listener is off",
        "live_path": "the HTTP listener is off",
        "ready_path": "the HTTP listener is off",
    }


_EXPORTERS = ("Prometheus", "Statsd", "DogStatsd", "M3")
_EXPORT_SETTINGS = (
    "InMem",
    "MetricPrefix",
    "EnableTrustDomainLabel",
    "EnableHostnameLabel",
    "AllowedPrefixes",
    "BlockedPrefixes",
    "AllowedLabels",
    "BlockedLabels",
)


class Telemetry(Section):
    """SPIRE's metrics: refused where someone would miss them."""

    unserved: ClassVar = {name: Unserved(METRICS, ([], {})) for name in _EXPORTERS}
    no_effect: ClassVar = dict.fromkeys(_EXPORT_SETTINGS, "metrics are not exported")


def read_file(
    reader: Reader, document: Document, section: str, model: type[S]
) -> tuple[S | None, Node | None]:
    """The main section of a file, and its `plugins` as they stand; the rest is only checked."""
    top = reader.table(document.root, (section,)) or {}
    for name, check in (("telemetry", Telemetry), ("health_checks", HealthChecks)):
        if name in top:
            reader.read(check, top[name], (name,))
    known = (section, "plugins", "telemetry", "health_checks")
    for name in top.keys() - set(known):
        reader.unknown(top[name], (name,), known, "section")
    if section not in top:
        reader.problem(
            document.root.mark,
            (section,),
            f"{section} section must be configured",
            f"add {section} {{ … }}",
        )
        return None, top.get("plugins")
    return reader.read(model, top[section], (section,)), top.get("plugins")


def path_within(path: Path, folder: Path) -> bool:
    """Whether a path lies in the folder or below it, by their absolute names."""
    return path.absolute().is_relative_to(folder.absolute())
