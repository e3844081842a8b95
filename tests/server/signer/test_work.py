"""Splitting of work among signers."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finial.server.signer.errors import SignerUnavailable
from finial.server.signer.work import MAX_ORDERS, Batch, Job, Part, WorkQueue


def job(count: int, authority: str = "a", kind: Batch = Batch.X509) -> Job:
    loop = asyncio.new_event_loop()
    try:
        return Job(kind, authority, list(range(count)), loop.create_future())
    finally:
        loop.close()


def taken(queue: WorkQueue, signers: int = 1) -> list[tuple[str, int, int]]:
    return [(part.job.authority_id, part.start, part.end) for part in queue.take(signers)]


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(1, 120), max_size=8), st.integers(1, 4))
def test_every_order_is_taken_once_and_no_frame_is_too_long(sizes: list[int], signers: int) -> None:
    queue = WorkQueue()
    jobs = [job(size) for size in sizes]
    for each in jobs:
        queue.add(each)
    while queue.size:
        parts = queue.take(signers)
        assert 0 < sum(len(part) for part in parts) <= MAX_ORDERS
        for part in parts:
            part.job.fulfil(part.start, part.job.orders[part.start : part.end])
    assert all(each.results == list(each.orders) and not each.missing for each in jobs)


def test_a_large_batch_is_shared_evenly() -> None:
    queue = WorkQueue()
    queue.add(job(20))
    assert taken(queue, signers=2) == [("a", 0, 10)]
    assert taken(queue, signers=1) == [("a", 10, 20)]


def test_small_orders_share_a_frame_unless_their_authorities_differ() -> None:
    queue = WorkQueue()
    for authority in ("a", "a", "b"):
        queue.add(job(1, authority))
    assert taken(queue) == [("a", 0, 1), ("a", 0, 1)]
    assert taken(queue) == [("b", 0, 1)]


def test_certificates_and_tokens_never_share_a_frame() -> None:
    queue = WorkQueue()
    queue.add(job(1))
    queue.add(job(1, kind=Batch.JWT))
    assert len(queue.take(1)) == 1


def test_what_a_dead_signer_had_is_first_in_line_and_travels_alone() -> None:
    queue = WorkQueue()
    queue.add(job(1, "a"))
    (first,) = queue.take(1)
    queue.add(job(1, "a"))
    queue.put_back([first])
    assert queue.size == 2
    (again,) = queue.take(1)
    assert again.job is first.job


def test_what_kills_two_signers_is_given_up() -> None:
    queue = WorkQueue()
    queue.add(job(1))
    for _ in range(2):
        parts = queue.take(1)
        queue.put_back(parts)
    assert queue.size == 0
    assert isinstance(parts[0].job.done.exception(), SignerUnavailable)


def test_work_whose_caller_has_gone_is_dropped() -> None:
    queue = WorkQueue()
    gone = job(3)
    queue.add(gone)
    queue.add(job(1, "b"))
    gone.done.cancel()
    assert taken(queue) == [("b", 0, 1)]
    assert queue.size == 0
    queue.put_back([Part(gone, 0, 3)])
    assert queue.size == 0


def test_giving_up_leaves_nothing_behind() -> None:
    queue = WorkQueue()
    one = job(3)
    queue.add(one)
    queue.fail_all(SignerUnavailable("over"))
    assert queue.size == 0
    with pytest.raises(SignerUnavailable):
        one.done.result()
