import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

import grpc
import pytest

from finial.agent.endpoints.callers import CallerAttestor
from finial.attestors.selector import Selector
from finial.attestors.workload.interface import Workload, WorkloadAttestationError
from finial.runtime.rpc import StatusError, TlsCaller, UnixCaller

ONE = (Selector("one", "x"),)
TWO = (Selector("two", "y"),)


class Known:
    """An attestor with its answer at hand."""

    def __init__(self, *selectors: Selector) -> None:
        self.type = "known"
        self._selectors = selectors

    def attest(self, workload: Workload) -> tuple[Selector, ...]:  # noqa: ARG002
        return self._selectors


class Slow(Known):
    """An attestor that has to wait for its answer, or for its failure."""

    def __init__(self, *selectors: Selector, fails: bool = False) -> None:
        super().__init__(*selectors)
        self.fails = fails

    def attest(self, workload: Workload) -> Awaitable[tuple[Selector, ...]]:  # type: ignore[override]
        return self._attest(workload.pid)

    async def _attest(self, pid: int) -> tuple[Selector, ...]:
        await asyncio.sleep(0)
        if self.fails:
            raise WorkloadAttestationError(f"cannot examine {pid}")
        return self._selectors


class Failing(Known):
    def __init__(self, *selectors: Selector) -> None:
        super().__init__(*selectors)
        self.type = "failing"

    def attest(self, workload: Workload) -> tuple[Selector, ...]:
        raise WorkloadAttestationError(f"cannot examine {workload.pid}")


@contextmanager
def caller(pid: int | None = None) -> Iterator[UnixCaller]:
    pid = pid or os.getpid()
    pidfd = os.pidfd_open(pid)
    try:
        yield UnixCaller(pid, 0, 0, pidfd)
    finally:
        os.close(pidfd)


def test_a_single_answer_is_passed_on_as_the_object_it_is() -> None:
    attestor = Known(*ONE)
    with caller() as me:
        assert CallerAttestor([attestor]).attest(me) is attestor.attest(me)


def test_several_answers_are_united() -> None:
    with caller() as me:
        found = CallerAttestor([Known(*TWO, *ONE), Known(*ONE)]).attest(me)
    assert found == (*ONE, *TWO)


async def test_slow_ones_are_waited_for() -> None:
    with caller() as me:
        found = CallerAttestor([Known(*ONE), Slow(*TWO)]).attest(me)
        assert not isinstance(found, tuple)
        assert await found == (*ONE, *TWO)


async def test_one_that_fails_does_not_spoil_the_others() -> None:
    with caller() as me:
        assert CallerAttestor([Failing(), Known(*ONE)]).attest(me) == ONE
        found = CallerAttestor([Slow(fails=True), Slow(*TWO), Failing()]).attest(me)
        assert not isinstance(found, tuple)
        assert await found == TWO


async def test_the_log_names_the_attestor_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow(fails=True)
    slow.type = "slow"
    with caller() as me:
        found = CallerAttestor([Failing(), slow, Slow(*TWO)]).attest(me)
        assert not isinstance(found, tuple)
        await found
    assert [getattr(record, "data", {})["attestor"] for record in caplog.records] == [
        "failing",
        "slow",
    ]


async def test_when_all_fail_attestation_has_failed() -> None:
    with caller() as me:
        with pytest.raises(StatusError) as caught:
            CallerAttestor([Failing()]).attest(me)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        assert caught.value.message == "workload attestation failed"
        found = CallerAttestor([Slow(fails=True)]).attest(me)
        assert not isinstance(found, tuple)
        with pytest.raises(StatusError, match="workload attestation failed"):
            await found


async def test_a_caller_that_ended_meanwhile_is_not_taken_for_its_successor() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=PIPE)
    with caller(child.pid) as gone:
        await child.communicate(b"\n")
        # The attestor answers all the same, as it would for the process that has the PID now.
        with pytest.raises(StatusError, match="workload attestation failed"):
            CallerAttestor([Known(*ONE)]).attest(gone)
        with pytest.raises(StatusError, match="workload attestation failed"):
            CallerAttestor([Known(*ONE), Known(*TWO)]).attest(gone)
        found = CallerAttestor([Slow(*ONE)]).attest(gone)
        assert not isinstance(found, tuple)
        with pytest.raises(StatusError, match="workload attestation failed"):
            await found


def test_a_caller_that_cannot_be_pinned_is_refused() -> None:
    with pytest.raises(StatusError, match="workload attestation failed"):
        CallerAttestor([Known(*ONE)]).attest(UnixCaller(os.getpid(), 0, 0, None))


def test_only_local_processes_can_be_attested() -> None:
    with pytest.raises(StatusError, match="workload attestation failed"):
        CallerAttestor([Known(*ONE)]).attest(TlsCaller("ipv4:127.0.0.1:1", None))
