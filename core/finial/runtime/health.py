"""How a process says whether it lives and whether it is ready.

Each part registers a named check and reports to it; gRPC health and HTTP probes read the whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """One part's word: `live` false asks for a restart, `ready` false for no traffic."""

    live: bool
    ready: bool
    message: str = ""


STARTING = State(live=True, ready=False, message="starting")
READY = State(live=True, ready=True)


class Check:
    """One part's line to the registry. A new check is live and not ready."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._state = STARTING

    @property
    def state(self) -> State:
        return self._state

    def ok(self, message: str = "") -> None:
        """The part works; `message` is what an operator should know all the same."""
        self._state = State(live=True, ready=True, message=message) if message else READY

    def not_ready(self, message: str) -> None:
        """The part waits for something and will work again by itself."""
        self._state = State(live=True, ready=False, message=message)

    def failed(self, message: str) -> None:
        """The part is beyond its own help: restart the process."""
        self._state = State(live=False, ready=False, message=message)


class Health:
    """All checks of a process. Without any check it is live, and not ready."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def register(self, name: str) -> Check:
        """A check of that name; ValueError when the name is taken."""
        if name in self._checks:
            raise ValueError(f"health check {name!r} is registered twice")
        check = self._checks[name] = Check(name)
        return check

    @property
    def live(self) -> bool:
        return all(check.state.live for check in self._checks.values())

    @property
    def ready(self) -> bool:
        return bool(self._checks) and all(check.state.ready for check in self._checks.values())

    def states(self) -> Mapping[str, State]:
        """Every check's state by name, in the order of registration."""
        return {name: check.state for name, check in self._checks.items()}
