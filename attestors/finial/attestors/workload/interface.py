"""What a workload attestor is to the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from finial.attestors.selector import Selector


class WorkloadAttestationError(Exception):
    """The process could not be examined, most often because it is gone."""


class WorkloadAttestor(Protocol):
    """Describes a process by selectors of the attestor's own type."""

    type: str

    def attest(self, pid: int) -> tuple[Selector, ...] | Awaitable[tuple[Selector, ...]]:
        """Return the selectors of a process; a plain tuple when the answer is at hand.

        A process that the mechanism has nothing to say about has no selectors: that is no error.
        Raises WorkloadAttestationError.
        """
