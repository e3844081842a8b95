"""The configuration files that `finial up` writes, anew at every start."""

import json

from finial.cli.up.place import Place
from finial.spiffe import TrustDomain

LOOPBACK = "127.0.0.1"
FLAGS = ["wit-svid"]
"""SPIRE's feature flag that is off by default."""
HEAD = "# Written by `finial up` at every start; a server for keeps has a file of its own.\n"


def server_file(place: Place, trust_domain: TrustDomain, port: int) -> str:
    """The server's file, in TOML."""
    return HEAD + _toml(
        {
            "server": {
                "trust_domain": trust_domain.name,
                "bind_address": LOOPBACK,
                "bind_port": port,
                "socket_path": str(place.server_socket),
                "data_dir": str(place.server_data),
            },
            "server.experimental": {"feature_flags": FLAGS},
            "plugins.DataStore.sql.plugin_data": {
                "database_type": "sqlite3",
                "connection_string": str(place.server_data / "datastore.sqlite3"),
            },
            "plugins.KeyManager.disk.plugin_data": {
                "keys_path": str(place.server_data / "keys.json")
            },
            "plugins.NodeAttestor.join_token.plugin_data": {},
        }
    )


def agent_file(place: Place, trust_domain: TrustDomain, port: int, *, joins: bool) -> str:
    """The agent's file, in TOML; the join token lies in a file of its own."""
    agent: dict[str, str | int | list[str]] = {
        "trust_domain": trust_domain.name,
        "server_address": LOOPBACK,
        "server_port": port,
        "socket_path": str(place.agent_socket),
        "data_dir": str(place.agent_data),
        "trust_bundle_path": str(place.bundle),
    }
    if joins:
        agent["join_token_file"] = str(place.join_token)
    return HEAD + _toml(
        {
            "agent": agent,
            "agent.experimental": {"sync_interval": "1s", "feature_flags": FLAGS},
            "plugins.KeyManager.disk.plugin_data": {"directory": str(place.agent_data)},
            "plugins.NodeAttestor.join_token.plugin_data": {},
            "plugins.WorkloadAttestor.unix.plugin_data": {},
        }
    )


def _toml(tables: dict[str, dict[str, str | int | list[str]]]) -> str:
    """Tables of texts, numbers and lists of texts; JSON's strings are TOML's basic strings."""
    return "\n".join(
        f"[{name}]\n"
        + "".join(
            f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in table.items()
        )
        for name, table in tables.items()
    )
