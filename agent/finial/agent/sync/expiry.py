"""Withdraws SVIDs at their NotAfter, whether or not anybody asks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from finial.runtime.alarm import Alarm
from finial.runtime.logging import log

if TYPE_CHECKING:
    from finial.agent.cache.workloads import Workloads
    from finial.runtime.clock import Clock

logger = logging.getLogger(__name__)


class ExpiryWatch:
    """Sleeps until the next SVID expires; `alarm` is rung when that time may have come nearer."""

    def __init__(self, workloads: Workloads, clock: Clock) -> None:
        self._workloads = workloads
        self._clock = clock
        self.alarm = Alarm()

    async def run(self) -> None:
        """Withdraw for ever."""
        while True:
            now = self._clock.time()
            if count := self._workloads.expire(now):
                log(logger, logging.ERROR, "X.509-SVIDs expired and were withdrawn", count=count)
            expiries = [self._workloads.next_expiry()]
            if (wits := self._workloads.wits) is not None:
                if count := wits.expire(now):
                    log(logger, logging.ERROR, "WIT-SVIDs expired and were withdrawn", count=count)
                expiries.append(wits.next_expiry())
            known = [expiry for expiry in expiries if expiry is not None]
            if known:
                await self.alarm.wait(self._clock.sleep_until(min(known)))
            else:
                await self.alarm.wait()
