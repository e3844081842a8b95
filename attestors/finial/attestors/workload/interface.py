"""What a workload attestor is to the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from finial.attestors.selector import Selector


class WorkloadAttestationError(Exception):
    """The process could not be examined, most often because it is gone."""


class Workload(Protocol):
    """A process that connected: its ID, and what the kernel noted of it at that moment."""

    @property
    def pid(self) -> int: ...

    @property
    def uid(self) -> int:
        """The effective user ID when it connected."""

    @property
    def gid(self) -> int:
        """The effective group ID when it connected."""


class WorkloadAttestor(Protocol):
    """Describes a process by selectors of the attestor's own type."""

    type: str

    def attest(self, workload: Workload) -> tuple[Selector, ...] | Awaitable[tuple[Selector, ...]]:
        """Return the selectors of a process; a plain tuple when the answer is at hand.

        A process that the mechanism has nothing to say about has no selectors: that is no error.
        Raises WorkloadAttestationError.
        """
