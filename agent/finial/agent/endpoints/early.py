"""Calls that come before the agent has heard from its server: they wait a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from finial.agent.sync.readiness import Phase
from finial.agent.sync.waiting import first_of
from finial.runtime.rpc import StatusError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from finial.agent.cache.workloads import Workloads
    from finial.agent.sync.readiness import Readiness
    from finial.attestors.selector import Selector
    from finial.runtime.clock import Clock

    Selectors = tuple[Selector, ...]

# How long a call made while the agent starts may wait for the first sync, seconds.
START_PATIENCE = 2.0


class EarlyCallers:
    """Has callers wait for the first sync while the agent starts."""

    def __init__(self, workloads: Workloads, readiness: Readiness, clock: Clock) -> None:
        self._workloads = workloads
        self._readiness = readiness
        self._clock = clock

    async def settle(self, selectors: Selectors | Awaitable[Selectors]) -> Selectors:
        """Wait for the caller's selectors and, for a moment, for the agent's first sync.

        Raises StatusError (Unavailable).
        """
        attested = selectors if isinstance(selectors, tuple) else await selectors
        if self._readiness.phase is Phase.STARTING:
            await first_of(self._readiness.settled(), self._clock.sleep(START_PATIENCE))
        if not self._workloads.synced:
            raise StatusError(
                grpc.StatusCode.UNAVAILABLE, "agent has not synchronised with its server yet"
            )
        return attested
