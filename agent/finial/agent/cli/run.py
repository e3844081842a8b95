"""`run`: the agent itself."""

from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from finial.runtime.cli.daemon import LOG_FLAGS, Daemon
from finial.runtime.cli.flags import boolean, integer, text


class AgentSide:
    """The agent's code, imported."""

    def __init__(self) -> None:
        from finial.agent import app  # noqa: PLC0415 - only `run` loads it all
        from finial.agent.errors import AgentError  # noqa: PLC0415
        from finial.attestors.node.catalog import UnknownAttestorError  # noqa: PLC0415
        from finial.runtime.config import ConfigError  # noqa: PLC0415
        from finial.runtime.durable import DurableError  # noqa: PLC0415

        self._app = app
        self.failures = (AgentError, ConfigError, DurableError, OSError, UnknownAttestorError)

    def load(self, path: Path, overrides: Mapping[str, str], *, expand_env: bool) -> Any:
        from finial.agent.config import load_agent_config  # noqa: PLC0415 - loads pydantic

        return load_agent_config(path, overrides, expand_env=expand_env)

    def logged(self, config: Any) -> Any:
        return config.agent

    def main(self, config: Any) -> Coroutine[Any, Any, None]:
        return self._app.run(config)


DAEMON = Daemon(
    "agent",
    "conf/agent/agent.conf",
    {
        text("serverAddress", "Host name or address of the server"): "server_address",
        integer("serverPort", "Port of the server"): "server_port",
        text("socketPath", "Path of the Workload API's socket"): "socket_path",
        text("dataDir", "Folder for what must survive a restart"): "data_dir",
        text("trustDomain", "The agent's trust domain"): "trust_domain",
        text("trustBundle", "File with the bundle to begin with"): "trust_bundle_path",
        text("trustBundleFormat", "Its format: pem or spiffe"): "trust_bundle_format",
        text("trustBundleUrl", "URL of the bundle to begin with"): "trust_bundle_url",
        text("joinToken", "A join token of the server's"): "join_token",
        text("joinTokenFile", "File with a join token"): "join_token_file",
        boolean("insecureBootstrap", "Trust any server at first"): "insecure_bootstrap",
        text("rebootstrapMode", "never, auto or always"): "rebootstrap_mode",
        text("rebootstrapDelay", "Time before bootstrapping again"): "rebootstrap_delay",
        boolean(
            "allowUnauthenticatedVerifiers", "Give bundles to callers without an identity"
        ): "allow_unauthenticated_verifiers",
        boolean("disableWorkloadAPI", "Do not serve the Workload API"): "disable_workload_api",
        boolean("disableSDSAPI", "Do not serve Envoy's SDS"): "disable_sds_api",
        **LOG_FLAGS,
    },
    AgentSide,
)
COMMAND = DAEMON.run_command()
