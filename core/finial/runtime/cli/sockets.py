"""Which socket a command talks to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import Flag, Values, text

UNIX = "unix:"
"""Stands before the path in a gRPC target."""


@dataclass(frozen=True)
class Endpoint:
    """An environment variable that holds an address.

    Attributes:
        variable: its name.
        read: the gRPC target of what it holds; raises FailureError.
    """

    variable: str
    read: Callable[[str], str]


@dataclass(frozen=True)
class Socket:
    """A program's socket as its clients find it.

    Attributes:
        default: the path when nothing else is said.
        variable: the environment variable that holds another.
        template: the environment variable that holds a path with `%i` in the instance's place.
        undefined: the error for -instance without that variable.
        start: how to start whoever should listen.
        endpoint: where an address is found when no path is said.
    """

    default: str
    variable: str
    template: str
    undefined: str
    start: str
    endpoint: Endpoint | None = None

    def flags(self, what: str) -> tuple[Flag, ...]:
        """The two flags of every command that talks to it."""
        return (
            text("socketPath", f"Path of the {what} socket", self.default),
            text("instance", f"Name that replaces %i in the path from {self.template}"),
        )

    def target(self, values: Values, env: Mapping[str, str]) -> str:
        """The gRPC target: SPIRE's order of paths, then the endpoint's address, then the default.

        SPIRE's order is the flag unless it names the default, the instance, the variable.

        Raises FailureError for an instance that cannot be placed, or an address of no endpoint.
        """
        path = self._path(values, env)
        if not path and self.endpoint and (address := env.get(self.endpoint.variable)):
            return self.endpoint.read(address)
        return f"{UNIX}{path or self.default}"

    def _path(self, values: Values, env: Mapping[str, str]) -> str:
        if (path := values.text("socketPath")) != self.default:
            return path
        if instance := values.text("instance"):
            return self._instance_path(instance, env)
        return env.get(self.variable, "")

    def _instance_path(self, instance: str, env: Mapping[str, str]) -> str:
        template = env.get(self.template)
        if not template:
            raise FailureError(self.undefined)
        if "%i" not in template:
            raise FailureError(f"failed to find %i in {self.template}")
        return template.replace("%i", instance)
