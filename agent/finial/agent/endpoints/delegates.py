"""Delegates: who may act for others, and for whom a request lets them act."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from finial.agent.cache.views import State
from finial.agent.endpoints.callers import verify_alive
from finial.agent.endpoints.processes import pinned
from finial.attestors.selector import Selector, SelectorError
from finial.runtime.rpc import StatusError, UnixCaller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable
    from typing import Protocol, Self

    from finial.agent.cache.views import Outcome
    from finial.agent.cache.workloads import Workloads
    from finial.agent.endpoints.callers import CallerAttestor
    from finial.api.spire import types_pb2 as types

    Selectors = tuple[Selector, ...]

    class Description(Protocol):
        """The part of a request that says which workload it is about."""

        @property
        def selectors(self) -> Iterable[types.Selector]: ...
        @property
        def pid(self) -> int: ...


@dataclass(slots=True)
class Acting:
    """A delegate, and the workload that it acts for; `process` is that workload's, if it has one.

    To be closed by whoever has it last.
    """

    delegate: Selectors
    workload: Selectors
    process: UnixCaller | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # of a call that was cancelled before anybody had it

    def close(self) -> None:
        """Let go of the process."""
        process, self.process = self.process, None
        if process is not None and process.pidfd is not None:
            os.close(process.pidfd)


class Delegates:
    """Decides on the rights of delegates.

    The caller's identities are those that its own process was attested to have; it is a delegate
    while one of them is among `authorized_delegates`.
    """

    def __init__(self, workloads: Workloads, callers: CallerAttestor) -> None:
        self._workloads = workloads
        self._callers = callers

    def acting(
        self, delegate: Selectors, description: Description | None = None
    ) -> Acting | Awaitable[Acting]:
        """Return whom the delegate acts for, itself without a description.

        Raises StatusError (PermissionDenied, InvalidArgument, Unavailable); so does the awaitable.
        """
        self._authorize(delegate)
        if description is None:
            return Acting(delegate, delegate)
        given = tuple(description.selectors)
        if bool(given) == bool(description.pid):
            raise _invalid("must provide either selectors or non-zero PID, but not both")
        if given:
            return Acting(delegate, _read(given))
        return self._acting_for_process(delegate, description.pid)

    def _acting_for_process(self, delegate: Selectors, pid: int) -> Acting | Awaitable[Acting]:
        acting = Acting(delegate, (), pinned(pid))
        try:
            found = self._callers.attest(acting.process)
        except BaseException:
            acting.close()
            raise
        if isinstance(found, tuple):
            acting.workload = found
            return acting
        return self._attested(acting, found)

    async def _attested(self, acting: Acting, found: Awaitable[Selectors]) -> Acting:
        try:
            acting.workload = await found
            self._authorize(acting.delegate)  # it may have lost its right meanwhile
        except BaseException:
            acting.close()
            raise
        return acting

    def verify(self, acting: Acting) -> None:
        """Raise StatusError when the delegate has lost its right, or the process has ended."""
        self._authorize(acting.delegate)
        if acting.process is not None:
            verify_alive(acting.process)

    def _authorize(self, delegate: Selectors) -> None:
        refused = refusal(self._workloads.delegations.right(self._workloads.view(delegate)))
        if refused is not None:
            raise refused


def refusal(right: Outcome) -> StatusError | None:
    """Return the answer to a caller whose right this is; None when it is a delegate."""
    if right.state is State.READY:
        return None
    if right.state is State.NO_IDENTITY:
        return no_identity()
    return StatusError(
        grpc.StatusCode.PERMISSION_DENIED, "caller not configured as an authorized delegate"
    )


def no_identity() -> StatusError:
    return StatusError(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")


def _read(given: Iterable[types.Selector]) -> Selectors:
    try:
        return tuple(sorted({Selector(one.type, one.value) for one in given}))
    except SelectorError:
        raise _invalid("could not parse provided selectors") from None


def _invalid(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)
