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
from finial.spiffe.errors import SpiffeError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

Complaint = tuple[str, str, str]  # key, message, way out

BUNDLES = ("trust_bundle_path", "trust_bundle_url", "trust_bundle_spiffe_workload_api")
# In SPIRE's words, which its operators search for.
NO_BUNDLE = (
    "trust_bundle_path, trust_bundle_url, or trust_bundle_spiffe_workload_api must be configured "
    "unless insecure_bootstrap is set"
)
_FOREIGN_DELEGATE = (
    'error validating authorized delegate: SPIFFE ID "{delegate}" is not a member of trust domain '
    '"{own}"'
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
    yield from _delegates(data)


def _bootstrap(data: Mapping[str, Any]) -> Iterator[Complaint]:
    given = [key for key in BUNDLES if data.get(key)]
    insecure = _is_true(data, "insecure_bootstrap")
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
    served = not (_is_true(data, "disable_workload_api") and _is_true(data, "disable_sds_api"))
    if admin and served and path_within(Path(admin), Path(public).parent):
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


def _delegates(data: Mapping[str, Any]) -> Iterator[Complaint]:
    """Every delegate is a member of the agent's trust domain, or it could never call."""
    delegates = data.get("authorized_delegates")
    try:
        own = TrustDomain.parse(str(data.get("trust_domain", "")))
    except SpiffeError:
        return
    for text in delegates if isinstance(delegates, list | tuple) else ():
        try:
            delegate = SpiffeId.parse(str(text))
        except SpiffeError:
            continue  # told with the key's type
        if not delegate.member_of(own):
            yield (
                "authorized_delegates",
                _FOREIGN_DELEGATE.format(delegate=delegate, own=own),
                "name an identity of this agent's own trust domain",
            )


def _is_true(data: Mapping[str, Any], key: str) -> bool:
    return str(data.get(key, "")).lower() in TRUE
