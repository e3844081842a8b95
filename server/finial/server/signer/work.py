"""Splitting what callers want signed into frames, and putting the results together again. No I/O.

Callers come one by one with an order each, or with 500 at once. Both are cut so that every
signer has work: small orders that wait at the same moment share a frame, large ones are spread.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from finial.server.signer.errors import SignerUnavailable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

MAX_ORDERS = 32
"""Orders in a frame: 6 ms of a signer's time, and so what a single order may have to wait for."""


class Batch(enum.Enum):
    """What the orders of a job are for; the value is the request's field for them."""

    X509 = "sign_x509"
    JWT = "sign_jwt"
    WIT = "sign_wit"
    DOWNSTREAM = "sign_downstream"


@dataclass(slots=True, eq=False)
class Job:
    """What one caller wants signed by one authority, and what has come back so far."""

    kind: Batch
    authority_id: str
    orders: Sequence[Any]  # the messages of one kind; nothing here looks into them
    done: asyncio.Future[list[Any]]
    results: list[Any] = field(init=False)
    missing: int = field(init=False)

    def __post_init__(self) -> None:
        self.missing = len(self.orders)
        self.results = [None] * self.missing

    def fulfil(self, start: int, results: Sequence[Any]) -> None:
        """Take the results of the orders from `start` on."""
        self.results[start : start + len(results)] = results
        self.missing -= len(results)
        if not self.missing and not self.done.done():
            self.done.set_result(self.results)

    def fail(self, error: Exception) -> None:
        """Give up; what comes for it later is dropped."""
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(slots=True)
class Part:
    """Some consecutive orders of a job; `retried` once a signer ended while it had them."""

    job: Job
    start: int
    end: int
    retried: bool = False

    def __len__(self) -> int:
        return self.end - self.start


class WorkQueue:
    """Parts that wait for a signer, oldest first."""

    def __init__(self) -> None:
        self._parts: deque[Part] = deque()
        self.size = 0
        """Orders that wait."""

    def add(self, job: Job) -> None:
        """Queue all of a job."""
        self._parts.append(Part(job, 0, len(job.orders)))
        self.size += len(job.orders)

    def put_back(self, parts: Sequence[Part]) -> None:
        """Queue parts again whose signer ended, first in line; a part's second end is final."""
        for part in reversed(parts):
            if part.job.done.done():
                continue
            if part.retried:
                part.job.fail(SignerUnavailable("two signers ended on this request"))
                continue
            self._parts.appendleft(Part(part.job, part.start, part.end, retried=True))
            self.size += len(part)

    def fail_all(self, error: Exception) -> None:
        """Give up all that waits."""
        for part in self._parts:
            part.job.fail(error)
        self._parts.clear()
        self.size = 0

    def take(self, signers: int) -> list[Part]:
        """The parts of the next frame: one authority's, a fair share among that many signers.

        Work whose caller has gone is dropped. A part that is retried travels alone, so that an
        order that kills signers takes no other caller's orders with it.
        """
        share = min(MAX_ORDERS, -(-self.size // signers))
        taken: list[Part] = []
        while self._parts and share > 0:
            part = self._parts[0]
            if part.job.done.done():
                self._remove(part)
            elif taken and not _together(taken[0], part):
                break
            else:
                taken.append(self._cut(part, share))
                share -= len(taken[-1])
        return taken

    def _cut(self, part: Part, share: int) -> Part:
        if len(part) <= share:
            self._remove(part)
            return part
        cut = Part(part.job, part.start, part.start + share, part.retried)
        part.start += share
        self.size -= share
        return cut

    def _remove(self, part: Part) -> None:
        self._parts.popleft()
        self.size -= len(part)


def _together(first: Part, second: Part) -> bool:
    one, other = first.job, second.job
    same = one.kind is other.kind and one.authority_id == other.authority_id
    return same and not first.retried and not second.retried
