"""What `finial up` remembers of the last time, beside the data of server and agent."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from finial.runtime.cli.failure import FailureError
from finial.runtime.durable import read_json, write_file
from finial.spiffe import SpiffeError, SpiffeId, TrustDomain


@dataclass(frozen=True)
class State:
    """The folder's trust domain, the server's last port, the agent that joined last."""

    trust_domain: str
    port: int = 0
    agent: str = ""

    @property
    def agent_id(self) -> SpiffeId | None:
        """The agent's own SPIFFE ID; None before it joined."""
        return SpiffeId.parse(self.agent) if self.agent else None

    def save(self, path: Path) -> None:
        """Write it down; raises DurableError."""
        write_file(path, json.dumps(asdict(self)).encode())


def load(path: Path, wanted: str) -> State:
    """The state in the file, or a new one; `wanted` is the trust domain asked for, or empty.

    Raises FailureError when the folder belongs to another trust domain or the file is not ours.
    """
    stored = read_json(path)
    if stored is None:
        return State(_checked(wanted or "example.org"))
    try:
        state = _parsed(stored)
    except (AttributeError, TypeError, ValueError):
        raise FailureError(
            f"{path} is not what `finial up` wrote: remove {path.parent} to start afresh"
        ) from None
    if wanted and _checked(wanted) != state.trust_domain:
        raise FailureError(
            f"{path.parent} is of trust domain {state.trust_domain}: "
            f"leave -trust-domain out, or name another folder with -dir"
        )
    return state


def _parsed(stored: dict[str, Any]) -> State:
    """The state in a JSON object; raises one of several errors when it is none of ours."""
    state = State(**stored)
    TrustDomain(state.trust_domain)
    return replace(state, port=int(state.port), agent=state.agent_id.uri if state.agent_id else "")


def _checked(name: str) -> str:
    try:
        return TrustDomain.parse(name).name
    except SpiffeError as error:
        raise FailureError(f'cannot use trust domain "{name}": {error}') from None
