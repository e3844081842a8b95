"""The agent's configuration: its schema, and reading a file against it.

Here: keys, defaults and rules of the `agent` section and of the agent's plugins. Not here: how
files are parsed (`finial.runtime.config`), nor anything that the settings set going.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from finial.agent.config.plugins import KINDS, DiskKeyManager, MemoryKeyManager
from finial.agent.config.rules import complaints
from finial.agent.config.settings import AgentSettings, Sds
from finial.runtime.config import Document, Problem, Reader, Section, load_file, only, read_plugins
from finial.runtime.config.document import Node, as_table, overridden
from finial.runtime.config.sections import read_file
from finial.runtime.secret import Secret

__all__ = [
    "AgentConfig",
    "AgentSettings",
    "DiskKeyManager",
    "MemoryKeyManager",
    "Sds",
    "agent_config",
    "load_agent_config",
]

MOST_TOKEN_BYTES = 4096


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """An agent's file, complete and valid. `warnings` are for the log at start."""

    agent: AgentSettings
    key_manager: DiskKeyManager | MemoryKeyManager
    node_attestor: str
    node_attestor_settings: Mapping[str, object]
    workload_attestors: Mapping[str, Mapping[str, object]]
    join_token: Secret | None  # from join_token, or out of join_token_file
    warnings: tuple[Problem, ...] = ()


def load_agent_config(
    path: Path, overrides: Mapping[str, str] | None = None, *, expand_env: bool = False
) -> AgentConfig:
    """Read an agent's file; `overrides` are keys of its `agent` section, from command line flags.

    Reads the join_token_file as well. Raises ConfigError with all that is wrong.
    """
    return agent_config(load_file(path, expand_env=expand_env), overrides)


def agent_config(document: Document, overrides: Mapping[str, str] | None = None) -> AgentConfig:
    """The configuration that a document describes; raises ConfigError with all that is wrong."""
    document = overridden(document, "agent", overrides or {})
    reader = Reader()
    agent, plugins = read_file(reader, document, "agent", AgentSettings)
    _check_rules(reader, document)
    found = read_plugins(reader, plugins, KINDS, document.root.mark)
    token = _join_token(reader, document, agent) if agent else None
    reader.refuse()
    assert agent is not None
    [(node_attestor, node_settings)] = found["NodeAttestor"].items()
    return AgentConfig(
        agent=agent,
        key_manager=only(found["KeyManager"], DiskKeyManager, MemoryKeyManager),
        node_attestor=node_attestor,
        node_attestor_settings=node_settings.model_dump(),
        workload_attestors=_plain(found["WorkloadAttestor"]),
        join_token=token,
        warnings=reader.told(),
    )


def _plain(found: Mapping[str, Section]) -> dict[str, dict[str, object]]:
    return {name: settings.model_dump() for name, settings in found.items()}


def _check_rules(reader: Reader, document: Document) -> None:
    section = document.child("agent")
    table = as_table(section) if section else None
    if section is None or table is None:
        return
    data = Node(section.mark, table[0]).plain()
    for key, message, way_out in complaints(data):
        node = table[0].get(key, section)
        reader.problem(node.mark, ("agent", key), message, way_out)


def _join_token(reader: Reader, document: Document, agent: AgentSettings) -> Secret | None:
    if agent.join_token_file is None:
        return agent.join_token
    path = ("agent", "join_token_file")
    try:
        with agent.join_token_file.open("rb") as file:
            token = file.read(MOST_TOKEN_BYTES + 1).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = (
            error.strerror.lower() if isinstance(error, OSError) and error.strerror else ("no text")
        )
        message = f"cannot read {agent.join_token_file}: {reason}"
        reader.problem(document.mark(path), path, message, "write the token into that file")
        return None
    if not token or len(token) > MOST_TOKEN_BYTES:
        what = "empty" if not token else "too long"
        message = f"{agent.join_token_file} is {what}"
        reader.problem(document.mark(path), path, message, "write the token into that file")
        return None
    return Secret(token)
