"""Threads that the database's blocking work runs on, and the group commit.

Reads and writes are plain functions that run on a thread from their first statement to their last.
A hop for each statement, as an asyncio driver makes it, costs twice the CPU, and on a busy loop a
wait for the interpreter lock each. Writes have one thread: whatever was asked for while it
committed shares the next transaction, and so one flush to the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.exc import DBAPIError

from finial.server.datastore.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.server.datastore.sqlite import SqliteSession

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


class Worker:
    """A thread with a session of its own that runs jobs in the order they came.

    Several may share a queue. A job that was begun is finished even when nobody waits for it.
    """

    def __init__(self, name: str, session: SqliteSession, jobs: SimpleQueue[_Job | None]) -> None:
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
            if not self._serve([job]):
                return

    def _serve(self, jobs: list[_Job]) -> bool:
        outcomes = [self._read(job) for job in jobs]
        return self._post(_answer, outcomes)

    def _read(self, job: _Job) -> _Outcome:
        session = self._session
        try:
            session.begin()
            try:
                value = job.work(session.connection)
            finally:
                session.rollback()
        except (DBAPIError, sqlite3.Error) as error:
            return _Outcome(job, None, session.explain(error))
        except Exception as error:  # noqa: BLE001  (it goes to whoever asked)
            return _Outcome(job, None, error)
        return _Outcome(job, value, None)

    def _post(self, callback: Callable[..., None], *arguments: Any) -> bool:
        """Hand the answers over; False when the loop is gone, and with it everyone who waits."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            return False
        return True


class WriteWorker(Worker):
    """The one writer. `committed` is called on the loop before anyone whose write it was."""

    def __init__(
        self,
        session: SqliteSession,
        jobs: SimpleQueue[_Job | None],
        revision: int,
        now: Callable[[], float],
        committed: Callable[[int], None],
    ) -> None:
        self._revision = revision
        self._now = now
        self._committed = committed
        super().__init__("datastore-writer", session, jobs)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs, last = self._gather(job)
            if not self._serve(jobs) or last:
                return

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        jobs = [first]
        while len(jobs) < _GROUP:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False

    def _serve(self, jobs: list[_Job]) -> bool:
        outcomes = self._together(jobs)
        if outcomes is None:
            # One of them failed: each gets a transaction of its own, so that none pays for another.
            outcomes = [self._alone(job) for job in jobs]
        return self._post(self._announce, outcomes, self._revision)

    def _announce(self, outcomes: list[_Outcome], revision: int) -> None:
        self._committed(revision)
        _answer(outcomes)

    def _together(self, jobs: list[_Job]) -> list[_Outcome] | None:
        if len(jobs) == 1:
            return None
        try:
            values = self._transact([job.work for job in jobs])
        except Exception:  # noqa: BLE001  (each is run again on its own, and fails on its own)
            return None
        return [_Outcome(job, value, None) for job, value in zip(jobs, values, strict=True)]

    def _alone(self, job: _Job) -> _Outcome:
        try:
            (value,) = self._transact([job.work])
        except (DBAPIError, sqlite3.Error) as error:
            return _Outcome(job, None, self._session.explain(error))
        except Exception as error:  # noqa: BLE001  (it goes to whoever asked)
            return _Outcome(job, None, error)
        return _Outcome(job, value, None)

    def _transact(self, works: list[Callable[[Any], Any]]) -> list[Any]:
        session = self._session
        session.begin()
        try:
            transaction = Transaction(session.connection, self._revision, int(self._now()))
            values = [work(transaction) for work in works]
            transaction.finish()
            session.commit()
        except BaseException:
            session.rollback()
            raise
        self._revision = transaction.revision
        return values


def _answer(outcomes: list[_Outcome]) -> None:
    for job, value, error in outcomes:
        if job.answer.done():
            continue  # whoever asked was cancelled meanwhile
        if error is None:
            job.answer.set_result(value)
        else:
            job.answer.set_exception(error)
