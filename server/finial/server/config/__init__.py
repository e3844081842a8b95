"""The server's configuration: its schema, and reading a file against it.

Here: keys, defaults and rules of the `server` section and of the server's plugins. Not here: how
files are parsed (`finial.runtime.config`), nor anything that the settings set going.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from finial.runtime.config import (
    Document,
    Problem,
    Reader,
    format_duration,
    load_file,
    only,
    read_plugins,
)
from finial.runtime.config.document import overridden
from finial.runtime.config.sections import read_file
from finial.server.config.cautions import warn_of_endpoint, warn_of_issuers
from finial.server.config.datastore import PostgresDataStore, SqliteDataStore
from finial.server.config.plugins import KINDS, DiskKeyManager, MemoryKeyManager
from finial.server.config.settings import CaSubject, RateLimit, ServerSettings
from finial.spiffe.trust_domain import TrustDomain

__all__ = [
    "CaSubject",
    "DiskKeyManager",
    "MemoryKeyManager",
    "PostgresDataStore",
    "RateLimit",
    "ServerConfig",
    "ServerSettings",
    "SqliteDataStore",
    "load_server_config",
    "server_config",
]


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """A server's file, complete and valid. `warnings` are for the log at start."""

    server: ServerSettings
    datastore: SqliteDataStore | PostgresDataStore
    key_manager: DiskKeyManager | MemoryKeyManager
    node_attestors: Mapping[str, Mapping[str, object]]
    warnings: tuple[Problem, ...] = ()


def load_server_config(
    path: Path, overrides: Mapping[str, str] | None = None, *, expand_env: bool = False
) -> ServerConfig:
    """Read a server's file; `overrides` are keys of its `server` section, from command line flags.

    Raises ConfigError with all that is wrong.
    """
    return server_config(load_file(path, expand_env=expand_env), overrides)


def server_config(document: Document, overrides: Mapping[str, str] | None = None) -> ServerConfig:
    """The configuration that a document describes; raises ConfigError with all that is wrong."""
    document = overridden(document, "server", overrides or {})
    reader = Reader()
    server, plugins = read_file(reader, document, "server", ServerSettings)
    found = read_plugins(reader, plugins, KINDS, document.root.mark)
    reader.refuse()
    assert server is not None
    _refuse_federation_with_itself(reader, document, server)
    reader.refuse()
    _warn_of_short_authorities(reader, document, server)
    _warn_of_unused_wit_settings(reader, document, server)
    warn_of_endpoint(reader, document, server)
    warn_of_issuers(reader, document, server)
    return ServerConfig(
        server=server,
        datastore=only(found["DataStore"], SqliteDataStore, PostgresDataStore),
        key_manager=only(found["KeyManager"], DiskKeyManager, MemoryKeyManager),
        node_attestors={name: each.model_dump() for name, each in found["NodeAttestor"].items()},
        warnings=reader.told(),
    )


def _refuse_federation_with_itself(
    reader: Reader, document: Document, server: ServerSettings
) -> None:
    for name in server.federation.federates_with:
        if TrustDomain.parse(name) == server.trust_domain:
            path = ("server", "federation", "federates_with", name)
            reader.problem(
                document.mark(path), path, "is the server's own trust domain", "remove it"
            )


def _warn_of_short_authorities(reader: Reader, document: Document, server: ServerSettings) -> None:
    """Note the SVID lifetimes that an authority near its end would have to cut short."""
    most = server.guaranteed_ttl()
    for key in ("default_x509_svid_ttl", "default_jwt_svid_ttl", "agent_ttl"):
        ttl = float(getattr(server, key))
        if ttl > most:
            path = ("server", key)
            reader.warn(
                document.mark(path),
                path,
                f"{format_duration(ttl)} is too long for a ca_ttl of "
                f"{format_duration(server.ca_ttl)}, and SVIDs will at times live "
                f"{format_duration(most)} only",
                f"set it to {format_duration(most)} or less, or raise ca_ttl",
            )


def _warn_of_unused_wit_settings(
    reader: Reader, document: Document, server: ServerSettings
) -> None:
    if server.experimental.wit_enabled:
        return
    for key in ("wit_key_type", "wit_issuer"):
        if getattr(server.experimental, key):
            path = ("server", "experimental", key)
            way_out = 'add feature_flags = ["wit-svid"] to the section, or remove it'
            reader.warn(document.mark(path), path, "has no effect: WIT-SVIDs are off", way_out)
