"""Who is calling: the selectors of the process at the other end of the socket."""

from __future__ import annotations

import asyncio
import logging
import select
from typing import TYPE_CHECKING

import grpc

from finial.attestors.workload.interface import WorkloadAttestationError
from finial.runtime.logging import log
from finial.runtime.rpc import StatusError, UnixCaller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from finial.attestors.selector import Selector
    from finial.attestors.workload.interface import WorkloadAttestor

    Selectors = tuple[Selector, ...]

logger = logging.getLogger(__name__)


class CallerAttestor:
    """Asks every workload attestor; the caller's selectors are the union of what they found.

    A process ID can pass to another process at any moment. So afterwards the pidfd, which the
    kernel gave for the very process that connected, must still be that of a living process.
    """

    def __init__(self, attestors: Sequence[WorkloadAttestor]) -> None:
        self._attestors = tuple(attestors)

    def attest(self, caller: object) -> Selectors | Awaitable[Selectors]:
        """Return the selectors, at once if every attestor has them at once.

        Raises StatusError (Unavailable) when no attestor succeeds, or the caller is gone; so does
        the awaitable.
        """
        if not isinstance(caller, UnixCaller):
            raise attestation_failed()
        asked: list[WorkloadAttestor] = []
        found: list[Selectors | Awaitable[Selectors]] = []
        for attestor in self._attestors:
            try:
                found.append(attestor.attest(caller))
            except WorkloadAttestationError as error:
                _note(attestor, caller, error)
            else:
                asked.append(attestor)
        if len(found) == 1 and isinstance(found[0], tuple):
            verify_alive(caller)
            return found[0]
        if all(isinstance(one, tuple) for one in found):
            return _union(caller, [one for one in found if isinstance(one, tuple)])
        return self._attest_later(caller, asked, found)

    async def _attest_later(
        self,
        caller: UnixCaller,
        asked: Sequence[WorkloadAttestor],
        found: Sequence[Selectors | Awaitable[Selectors]],
    ) -> Selectors:
        results = await asyncio.gather(*(_value(one) for one in found), return_exceptions=True)
        good = []
        for attestor, result in zip(asked, results, strict=True):
            if isinstance(result, WorkloadAttestationError):
                _note(attestor, caller, result)
            elif isinstance(result, BaseException):
                raise result
            else:
                good.append(result)
        return _union(caller, good)


async def _value(one: Selectors | Awaitable[Selectors]) -> Selectors:
    return one if isinstance(one, tuple) else await one


def _union(caller: UnixCaller, found: Sequence[Selectors]) -> Selectors:
    if not found:
        raise attestation_failed()
    verify_alive(caller)
    return tuple(sorted({selector for selectors in found for selector in selectors}))


def verify_alive(caller: UnixCaller) -> None:
    """Raise StatusError (Unavailable) unless the very process that was pinned still runs."""
    if caller.pidfd is None:
        log(logger, logging.WARNING, "caller cannot be pinned: no pidfd", pid=caller.pid)
        raise attestation_failed()
    poll = select.poll()
    poll.register(caller.pidfd, select.POLLIN)
    if poll.poll(0):  # readable once the process has ended
        log(logger, logging.WARNING, "caller ended during attestation", pid=caller.pid)
        raise attestation_failed()


def _note(attestor: WorkloadAttestor, caller: UnixCaller, error: Exception) -> None:
    log(
        logger,
        logging.ERROR,
        "workload attestor failed",
        attestor=attestor.type,
        pid=caller.pid,
        error=str(error),
    )


def attestation_failed() -> StatusError:
    """The answer where nothing could be found out about a process."""
    return StatusError(grpc.StatusCode.UNAVAILABLE, "workload attestation failed")
