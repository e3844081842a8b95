"""The agent's plugins: which are served, with what settings."""

from typing import Annotated

from finial.attestors.node import catalog
from finial.runtime.config.fields import FilePath, Flag, whole_number
from finial.runtime.config.plugins import PluginKind
from finial.runtime.config.schema import Section

_NODES = "use join_token, or keep this node on SPIRE"
_WORKLOADS = "use unix, or keep this node on SPIRE"
_STORES = "remove it, or keep this node on SPIRE"


class DiskKeyManager(Section):
    """KeyManager `disk`: the agent's own key in a folder."""

    directory: FilePath


class MemoryKeyManager(Section):
    """KeyManager `memory`: the agent's own key dies with it."""


class JoinTokenAttestor(Section):
    """NodeAttestor `join_token`."""


class UnixAttestor(Section):
    """WorkloadAttestor `unix`."""

    discover_workload_path: Flag = False
    # Bytes of the largest program that is hashed; 0 sets no limit, below 0 none is hashed.
    workload_size_limit: Annotated[int, whole_number(-1, 2**53)] = 0


KINDS = {
    "KeyManager": PluginKind(
        {"disk": DiskKeyManager, "memory": MemoryKeyManager}, {}, least=1, most=1
    ),
    "NodeAttestor": PluginKind(
        {"join_token": JoinTokenAttestor},
        dict.fromkeys(
            (
                "x509pop",
                "sshpop",
                "k8s_psat",
                "aws_iid",
                "gcp_iit",
                "azure_imds",
                "azure_msi",
                "http_challenge",
                "tpm_devid",
            ),
            _NODES,
        ),
        least=1,
        most=1,
        installed=lambda: catalog.known(catalog.AGENT_GROUP),
    ),
    "WorkloadAttestor": PluginKind(
        {"unix": UnixAttestor},
        dict.fromkeys(("systemd", "docker", "k8s", "slurm"), _WORKLOADS),
        least=1,
        installed=lambda: catalog.known(catalog.WORKLOAD_GROUP),
    ),
    "SVIDStore": PluginKind(
        {}, dict.fromkeys(("aws_secretsmanager", "gcp_secretmanager"), _STORES)
    ),
}
