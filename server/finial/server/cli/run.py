"""`run`: the server itself."""

from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from finial.runtime.cli.daemon import LOG_FLAGS, Daemon
from finial.runtime.cli.flags import integer, text


class ServerSide:
    """The server's code, imported."""

    def __init__(self) -> None:
        from finial.runtime.config import ConfigError  # noqa: PLC0415 - only `run` loads it all
        from finial.server import app  # noqa: PLC0415

        self._app = app
        self.failures = (ConfigError, *app.FAILURES)

    def load(self, path: Path, overrides: Mapping[str, str], *, expand_env: bool) -> Any:
        from finial.server.config import load_server_config  # noqa: PLC0415 - loads pydantic

        return load_server_config(path, overrides, expand_env=expand_env)

    def logged(self, config: Any) -> Any:
        return config.server

    def main(self, config: Any) -> Coroutine[Any, Any, None]:
        return self._app.run(config)


DAEMON = Daemon(
    "server",
    "conf/server/server.conf",
    {
        text("bindAddress", "Address to listen on"): "bind_address",
        integer("serverPort", "Port to listen on"): "bind_port",
        text("socketPath", "Path of the admin API's socket"): "socket_path",
        text("dataDir", "Folder for what must survive a restart"): "data_dir",
        text("trustDomain", "The server's trust domain"): "trust_domain",
        **LOG_FLAGS,
    },
    ServerSide,
)
COMMAND = DAEMON.run_command()
