"""What the keys of the `agent` section demand of each other.

The rules look at the text's own values, not at a finished section: they hold whatever else is
wrong with the file, so that all of it is told at once.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finial.agent.config.settings import AgentSettings
from finial.runtime.config.fields import TRUE
from finial.runtime.config.sections import path_within

Complaint = tuple[str, str, str]  # key, message, way out

BUNDLES = ("trust_bundle_path", "trust_bundle_url", "trust_bundle_spiffe_workload_api")
# In SPIRE's words, which its operators search for.
NO_BUNDLE = (
    "trust_bundle_path, trust_bundle_url, or trust_bundle_spiffe_workload_api must be configured "
    "unless insecure_bootstrap is set"
)
NEAR_SOCKETS = (
    "admin socket cannot be in the same directory or a subdirectory as that containing the "
    "Workload API socket"
)


def complaints(data: Mapping[str, Any]) -> Iterator[Complaint]:
    """What breaks a rule in the plain data of the section."""
    yield from _bootstrap(data)
    yield from _join_token(data)
    yield from _sockets(data)
    yield from _sds(data)


def _bootstrap(data: Mapping[str, Any]) -> Iterator[Complaint]:
    given = [key for key in BUNDLES if data.get(key)]
    insecure = str(data.get("insecure_bootstrap", "")).lower() in TRUE
    if not given and not insecure:
        yield (
            "trust_bundle_path",
            NO_BUNDLE,
            "save the output of the server's bundle show command, and name the file",
        )
    if given and insecure:
        yield (
            "insecure_bootstrap",
            f"only one of insecure_bootstrap or {given[0]} can be specified, not both",
            "remove insecure_bootstrap",
        )
    if data.get("trust_bundle_path") and data.get("trust_bundle_url"):
        yield (
            "trust_bundle_url",
            "only one of trust_bundle_url or trust_bundle_path can be specified, not both",
            "remove trust_bundle_url",
        )


def _join_token(data: Mapping[str, Any]) -> Iterator[Complaint]:
    if data.get("join_token") and data.get("join_token_file"):
        yield (
            "join_token_file",
            "only one of join_token or join_token_file can be specified, not both",
            "keep the file, which no process list shows",
        )


def _sockets(data: Mapping[str, Any]) -> Iterator[Complaint]:
    admin = data.get("admin_socket_path")
    public = data.get("socket_path") or str(AgentSettings.model_fields["socket_path"].default)
    if not isinstance(admin, str) or not isinstance(public, str):
        return
    if admin and path_within(Path(admin), Path(public).parent):
        yield (
            "admin_socket_path",
            NEAR_SOCKETS,
            "give it a folder of its own",
        )


def _sds(data: Mapping[str, Any]) -> Iterator[Complaint]:
    sds = data.get("sds")
    names = sds if isinstance(sds, dict) else {}
    one = names.get("default_bundle_name", "ROOTCA")
    every = names.get("default_all_bundles_name", "ALL")
    if one == every:
        yield (
            "sds",
            "default_bundle_name and default_all_bundles_name must differ",
            "rename one of them",
        )
