"""Which socket a command talks to."""

from collections.abc import Mapping
from dataclasses import dataclass

from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import Flag, Values, text


@dataclass(frozen=True)
class Socket:
    """A program's socket as its clients find it.

    Attributes:
        default: the path when nothing else is said.
        variable: the environment variable that holds another.
        template: the environment variable that holds a path with `%i` in the instance's place.
        undefined: the error for -instance without that variable.
        start: how to start whoever should listen.
    """

    default: str
    variable: str
    template: str
    undefined: str
    start: str

    def flags(self, what: str) -> tuple[Flag, ...]:
        """The two flags of every command that talks to it."""
        return (
            text("socketPath", f"Path of the {what} socket", self.default),
            text("instance", f"Name that replaces %i in the path from {self.template}"),
        )

    def path(self, values: Values, env: Mapping[str, str]) -> str:
        """The path in SPIRE's order: the flag unless it names the default, instance, variable.

        Raises FailureError for an instance that cannot be placed.
        """
        if (path := values.text("socketPath")) != self.default:
            return path
        if instance := values.text("instance"):
            return self._instance_path(instance, env)
        return env.get(self.variable) or self.default

    def _instance_path(self, instance: str, env: Mapping[str, str]) -> str:
        template = env.get(self.template)
        if not template:
            raise FailureError(self.undefined)
        if "%i" not in template:
            raise FailureError(f"failed to find %i in {self.template}")
        return template.replace("%i", instance)
