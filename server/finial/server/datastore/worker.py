"""Threads that the database's blocking work runs on, and the group commit.

Reads and writes are plain functions that run on a thread from their first statement to their last.
A hop for each statement, as an asyncio driver makes it, costs twice the CPU, and on a busy loop a
wait for the interpreter lock each. Writes have one thread: whatever was asked for while it
committed shares the next transaction, and so one flush to the disk.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from finial.server.datastore.driver import ORIGIN
from finial.server.datastore.errors import OutcomeUnknown
from finial.server.datastore.horizon import Horizon, Sighting
from finial.server.datastore.transaction import Recording, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.server.datastore.driver import Session, WriteSession

T = TypeVar("T")

_GROUP = 256
"""Most writes that share a transaction."""

_SWITCH_SECONDS = 0.00005


def let_threads_in() -> None:
    """Make a busy event loop hand over the interpreter lock within 50 us.

    With the default of 5 ms a thread that lets the lock go for a statement waits 5 ms to get it
    back, or for ever while the loop makes short system calls: a commit was measured at 620 ms
    beside a busy loop, and at 1 ms with this. It costs nothing while no thread waits.
    """
    if sys.getswitchinterval() > _SWITCH_SECONDS:
        sys.setswitchinterval(_SWITCH_SECONDS)


class _Job(NamedTuple):
    work: Callable[[Any], Any]
    answer: asyncio.Future[Any]


class _Outcome(NamedTuple):
    job: _Job
    value: Any
    error: Exception | None


class _NotBegun(Exception):  # noqa: N818  (a wrapping; its reason is the error)
    """No transaction could be begun, and so nothing was run."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


class Worker:
    """A thread with a session of its own that runs jobs in the order they came.

    Several may share a queue. A job that nobody waits for any more is not begun; once begun, its
    transaction is carried to its end.
    """

    def __init__(self, name: str, session: Session, jobs: SimpleQueue[_Job | None]) -> None:
        self._session = session
        self._jobs = jobs
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    async def join(self) -> None:
        """Wait for the thread's end, which a None in the queue brings about."""
        await self._ended
        self._thread.join()

    def _main(self) -> None:
        self._run()
        self._session.close()
        self._post(self._ended.set_result, None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.answer.done() and not self._serve([job]):
                return

    def _serve(self, jobs: list[_Job]) -> bool:
        outcomes = [self._read(job) for job in jobs]
        return self._post(_answer, outcomes)

    def _read(self, job: _Job) -> _Outcome:
        return self._attempt(job, self._read_in_transaction)

    def _read_in_transaction(self, work: Callable[[Any], Any]) -> Any:
        session = self._session
        session.begin()
        try:
            return work(session.connection)
        finally:
            session.rollback()

    def _attempt(self, job: _Job, run: Callable[[Callable[[Any], Any]], Any]) -> _Outcome:
        try:
            return _Outcome(job, run(job.work), None)
        except _NotBegun:
            raise
        except Exception as error:  # noqa: BLE001  (it goes to whoever asked)
            return _Outcome(job, None, self._explained(error))

    def _explained(self, error: Exception) -> Exception:
        session = self._session
        return session.explain(error) if isinstance(error, session.errors) else error

    def _post(self, callback: Callable[..., None], *arguments: Any) -> bool:
        """Hand the answers over; False when the loop is gone, and with it everyone who waits."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            return False
        return True


class RecordWorker(Worker):
    """A writer of what is not announced. Writes asked for at the same time share a commit."""

    def __init__(
        self,
        name: str,
        session: WriteSession,
        jobs: SimpleQueue[_Job | None],
        now: Callable[[], float],
    ) -> None:
        self._writer = session
        self._now = now
        super().__init__(name, session, jobs)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs, last = self._gather(job)
            if (jobs and not self._serve(jobs)) or last:
                return

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        jobs = [] if first.answer.done() else [first]
        while len(jobs) < _GROUP:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                return jobs, True
            if not job.answer.done():
                jobs.append(job)
        return jobs, False

    def _serve(self, jobs: list[_Job]) -> bool:
        return self._post(_answer, self._outcomes(jobs))

    def _outcomes(self, jobs: list[_Job]) -> list[_Outcome]:
        outcomes = self._together(jobs)
        # One of them failed: each gets a transaction of its own, so that none pays for another.
        return self._one_by_one(jobs) if outcomes is None else outcomes

    def _one_by_one(self, jobs: list[_Job]) -> list[_Outcome]:
        outcomes: list[_Outcome] = []
        for place, job in enumerate(jobs):
            if job.answer.done():
                continue
            try:
                outcomes.append(self._attempt(job, lambda work: self._transact([work])[0]))
            except _NotBegun as error:
                return outcomes + _refused(jobs[place:], error.reason)
        return outcomes

    def _together(self, jobs: list[_Job]) -> list[_Outcome] | None:
        if len(jobs) == 1:
            return None
        try:
            values = self._transact([job.work for job in jobs])
        except _NotBegun as error:
            # It may have waited long for that: the others would wait as long, one after another.
            return _refused(jobs, error.reason)
        except OutcomeUnknown as error:
            # Each may have been done: none is done again.
            return _refused(jobs, error)
        except Exception:  # noqa: BLE001  (each is run again on its own, and fails on its own)
            return None
        return [_Outcome(job, value, None) for job, value in zip(jobs, values, strict=True)]

    def _transact(self, works: list[Callable[[Any], Any]]) -> list[Any]:
        session = self._writer
        self._begin(session.begin)
        try:
            recording = Recording(session.connection, int(self._now()))
            values = [work(recording) for work in works]
            recording.finish()
            session.commit(None)
        except BaseException:
            session.rollback()
            raise
        return values

    def _begin(self, begin: Callable[[], T]) -> T:
        try:
            return begin()
        except Exception as error:  # noqa: BLE001  (it goes to whoever asked)
            raise _NotBegun(self._explained(error)) from None


class WriteWorker(RecordWorker):
    """The one writer of what is announced.

    The horizon has moved before anyone whose write it was has the answer.
    """

    def __init__(
        self,
        session: WriteSession,
        jobs: SimpleQueue[_Job | None],
        horizon: Horizon,
        now: Callable[[], float],
    ) -> None:
        self._horizon = horizon
        self._revision = horizon.revision
        self._seen: Sighting | None = None
        super().__init__("datastore-writer", session, jobs, now)

    def _serve(self, jobs: list[_Job]) -> bool:
        self._seen = None
        outcomes = self._outcomes(jobs)
        return self._post(self._announce, outcomes, self._seen)

    def _announce(self, outcomes: list[_Outcome], seen: Sighting | None) -> None:
        if seen is not None:
            self._horizon.see(seen)
        _answer(outcomes)

    def _transact(self, works: list[Callable[[Any], Any]]) -> list[Any]:
        session, before = self._writer, self._horizon.mark()
        began_at = self._begin(lambda: session.begin_announcing(self._revision))
        try:
            transaction = Transaction(session.connection, began_at, int(self._now()))
            values = [work(transaction) for work in works]
            transaction.finish()
            announced = transaction.revision if transaction.revision > began_at else None
            session.commit(announced)
        except BaseException:
            session.rollback()
            raise
        self._revision = transaction.revision
        origin = str(session.connection.info.get(ORIGIN, ""))
        self._seen = Sighting(origin, transaction.revision, *before)
        return values


def _refused(jobs: list[_Job], error: Exception) -> list[_Outcome]:
    return [_Outcome(job, None, error) for job in jobs]


def _answer(outcomes: list[_Outcome]) -> None:
    for job, value, error in outcomes:
        if job.answer.done():
            continue  # whoever asked was cancelled meanwhile
        if error is None:
            job.answer.set_result(value)
        else:
            job.answer.set_exception(error)
