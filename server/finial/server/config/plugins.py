"""The server's plugins: which are served, with what settings."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator

from finial.attestors.node import catalog
from finial.runtime.config.errors import FieldError
from finial.runtime.config.fields import FilePath
from finial.runtime.config.plugins import PluginKind
from finial.runtime.config.schema import Section, Unserved
from finial.runtime.config.sections import OFF


def _sqlite(value: Any) -> str:
    if value != "sqlite3":
        shown = f'"{value}"' if isinstance(value, str) else "this"
        raise FieldError(f"{shown} is not served by Finial", 'use "sqlite3"')
    return "sqlite3"


def _sqlite_file(value: Any) -> Path:
    if isinstance(value, Path):
        return value
    text = value if isinstance(value, str) else ""
    path = text.removeprefix("file:")
    if not path or path.startswith(":memory:") or "mode=memory" in path:
        raise FieldError("must be the path of a file", "name one below the data_dir")
    if "?" in path:
        raise FieldError("must be a path without options", "remove the ? and what follows")
    return Path(path)


class SqlDataStore(Section):
    """DataStore `sql`."""

    unserved: ClassVar = {
        "ro_connection_string": Unserved("remove it; there is one SQLite file", ("",)),
        "root_ca_path": Unserved("remove it; SQLite has no connection to protect", ("",)),
        "client_cert_path": Unserved("remove it; SQLite has no connection to protect", ("",)),
        "client_key_path": Unserved("remove it; SQLite has no connection to protect", ("",)),
        "disable_migration": Unserved("remove it; a newer program migrates at start", OFF),
    }
    no_effect: ClassVar = {
        "max_open_conns": "SQLite is opened as its one writer needs it",
        "max_idle_conns": "SQLite is opened as its one writer needs it",
        "conn_max_lifetime": "SQLite is opened as its one writer needs it",
    }

    database_type: Annotated[str, BeforeValidator(_sqlite)]
    connection_string: Annotated[Path, BeforeValidator(_sqlite_file)]


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
