"""The server's plugins: which are served, with what settings."""

from finial.attestors.node import catalog
from finial.runtime.config.fields import FilePath
from finial.runtime.config.plugins import PluginKind
from finial.runtime.config.schema import Section
from finial.server.config.datastore import SqlDataStore


class DiskKeyManager(Section):
    """KeyManager `disk`: authorities' keys in a file."""

    keys_path: FilePath


class MemoryKeyManager(Section):
    """KeyManager `memory`: authorities' keys die with the signers."""


class JoinTokenAttestor(Section):
    """NodeAttestor `join_token`."""


_KMS = "use disk or memory, or keep this server on SPIRE"
_NODES = "use join_token, or keep these nodes on SPIRE"
_SELF_SIGNED = "remove it; authorities are self-signed"
_NOTIFIED = "remove it, and publish the output of the bundle show command"

KINDS = {
    "DataStore": PluginKind({"sql": SqlDataStore}, {}, least=1, most=1),
    "KeyManager": PluginKind(
        {"disk": DiskKeyManager, "memory": MemoryKeyManager},
        dict.fromkeys(("aws_kms", "gcp_kms", "azure_key_vault", "hashicorp_vault"), _KMS),
        least=1,
        most=1,
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
        installed=lambda: catalog.known(catalog.SERVER_GROUP),
    ),
    "UpstreamAuthority": PluginKind(
        {},
        dict.fromkeys(
            (
                "disk",
                "spire",
                "vault",
                "aws_pca",
                "awssecret",
                "gcp_cas",
                "cert-manager",
                "ejbca",
            ),
            _SELF_SIGNED,
        ),
        most=1,
    ),
    "Notifier": PluginKind({}, dict.fromkeys(("k8sbundle", "gcs_bundle"), _NOTIFIED)),
    "BundlePublisher": PluginKind(
        {},
        dict.fromkeys(
            (
                "aws_s3",
                "azure_blob",
                "gcp_cloudstorage",
                "aws_rolesanywhere_trustanchor",
                "k8s_configmap",
            ),
            _NOTIFIED,
        ),
    ),
    "CredentialComposer": PluginKind({}, {"uniqueid": "remove it; credentials carry no such ID"}),
}
