"""`run` and `validate`: a program that serves until it is stopped, and the check of its file.

What only one side knows (the schema, the composition root) is loaded when one of the two runs:
no other command pays for it.
"""

import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from finial.runtime.cli.command import Command
from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import Flag, Values, boolean, text

logger = logging.getLogger(__name__)


class Side(Protocol):
    """What `run` needs of the server or the agent; made by the import of its code."""

    def load(self, path: Path, overrides: Mapping[str, str], *, expand_env: bool) -> Any:
        """The configuration; raises ConfigError."""
        ...

    def logged(self, config: Any) -> Any:
        """The section with the logging keys."""
        ...

    def main(self, config: Any) -> Coroutine[Any, Any, None]:
        """Serves until cancelled."""
        ...

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What `main` raises with a text for the operator."""
        ...


@dataclass(frozen=True)
class Daemon:
    """One side's pair of commands.

    Attributes:
        who: `server` or `agent`.
        config: the file when -config is not given.
        overrides: flags that replace keys of the file, each with its key.
        side: imports the side's code.
    """

    who: str
    config: str
    overrides: Mapping[Flag, str]
    side: Callable[[], Side]

    def flags(self) -> tuple[Flag, ...]:
        """The flags of both commands."""
        return (
            text("config", "The configuration file: HCL, JSON or TOML", self.config),
            boolean("expandEnv", "Put environment variables into the file before it is read"),
            *self.overrides,
        )

    def run_command(self) -> Command:
        """Serves; failures are told without a prefix, as SPIRE's programs do."""
        return Command("run", self.flags(), self._run, failure_prefix="")

    def validate_command(self) -> Command:
        """Reads the file and says whether it is any good."""
        return Command("validate", self.flags(), self._validate, failure_prefix="")

    def _run(self, values: Values, console: Console) -> int:
        from finial.runtime import tasks  # noqa: PLC0415 - the help must not wait for it
        from finial.runtime.logging import log  # noqa: PLC0415

        side = self.side()
        config = self._configured(side, values)
        self._set_up_logging(side.logged(config), console)
        for warning in config.warnings:
            log(logger, logging.WARNING, "configuration", warning=str(warning))
        try:
            tasks.run(lambda: side.main(config))
        except side.failures as error:
            raise FailureError(str(error)) from None
        return 0

    def _validate(self, values: Values, console: Console) -> int:
        try:
            config = self._configured(self.side(), values)
        except FailureError as error:
            raise FailureError(f"SPIRE {self.who} configuration file is invalid: {error}") from None
        for warning in config.warnings:
            console.warn(f"Warning: {warning}")
        console.show(f"SPIRE {self.who} configuration file is valid.")
        return 0

    def _configured(self, side: Side, values: Values) -> Any:
        from finial.runtime.config import ConfigError  # noqa: PLC0415 - loads pydantic

        try:
            return side.load(
                Path(values.text("config")),
                self._overridden(values),
                expand_env=values.boolean("expandEnv"),
            )
        except ConfigError as error:
            raise FailureError(str(error)) from None

    def _overridden(self, values: Values) -> dict[str, str]:
        """The keys that flags replace; a flag set to nothing replaces nothing, as in SPIRE."""
        keys = {flag.name: key for flag, key in self.overrides.items() if values.given(flag.name)}
        shown = {key: values.shown(name) for name, key in keys.items()}
        return {key: value for key, value in shown.items() if value}

    def _set_up_logging(self, settings: Any, console: Console) -> None:
        from finial.runtime.logging import setup  # noqa: PLC0415 - the help must not wait for it

        try:
            setup(
                settings.log_level,
                format=settings.log_format,
                file=settings.log_file,
                stream=console.stdout,
                source_location=settings.log_source_location,
            )
        except (OSError, ValueError) as error:
            raise FailureError(f"could not start logger: {error}") from None


LOG_FLAGS: Mapping[Flag, str] = {
    text("logFile", "File to write the log to instead of standard output"): "log_file",
    text("logLevel", "error, warn, info, debug or trace"): "log_level",
    text("logFormat", "text or json"): "log_format",
    boolean("logSourceLocation", "Name file and line in each log line"): "log_source_location",
}
