import asyncio
import threading
from functools import partial

import pytest
from sqlalchemy import insert, select

from finial.server.datastore.database import Database
from finial.server.datastore.schema import properties
from finial.server.datastore.transaction import Transaction


def put(name: str, transaction: Transaction) -> str:
    transaction.execute(insert(properties).values(name=name, value="v"))
    return name


def put_and_fail(name: str, transaction: Transaction) -> str:
    put(name, transaction)
    transaction.change("thing", name)
    raise LookupError(name)


async def names(database: Database) -> set[str]:
    return await database.read(lambda c: set(c.execute(select(properties.c.name)).scalars()))


async def test_a_write_that_fails_leaves_nothing_behind(database: Database) -> None:
    with pytest.raises(LookupError, match="bad"):
        await database.write(partial(put_and_fail, "bad"))
    assert await names(database) == set()
    assert database.revision == 0


async def test_a_write_that_fails_does_not_undo_those_that_shared_its_transaction(
    database: Database,
) -> None:
    works = [partial(put, f"good-{n}") for n in range(20)]
    works.insert(10, partial(put_and_fail, "bad"))
    outcomes = await asyncio.gather(*map(database.write, works), return_exceptions=True)
    assert isinstance(outcomes[10], LookupError)
    assert await names(database) == {f"good-{n}" for n in range(20)}


async def test_revisions_have_no_gap_after_a_failure(database: Database) -> None:
    def change(transaction: Transaction) -> int:
        return transaction.change("thing", "x")

    results = await asyncio.gather(
        database.write(change),
        database.write(partial(put_and_fail, "bad")),
        database.write(change),
        return_exceptions=True,
    )
    assert [results[0], results[2], database.revision] == [1, 2, 2]


async def test_a_caller_that_is_cancelled_neither_stops_its_write_nor_others(
    database: Database,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> None:
        begun.set()
        assert go_on.wait(30)
        put("cancelled", transaction)

    cancelled = asyncio.create_task(database.write(slow))
    await asyncio.to_thread(begun.wait, 30)
    other = asyncio.create_task(database.write(partial(put, "other")))
    await asyncio.sleep(0)
    cancelled.cancel()
    go_on.set()
    assert await other == "other"
    assert await names(database) == {"cancelled", "other"}


async def test_a_write_whose_caller_gave_up_before_it_was_begun_is_not_begun(
    database: Database,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(_: Transaction) -> None:
        begun.set()
        assert go_on.wait(30)

    first = asyncio.create_task(database.write(slow))
    await asyncio.to_thread(begun.wait, 30)
    cancelled = asyncio.create_task(database.write(partial(put, "cancelled")))
    other = asyncio.create_task(database.write(partial(put, "other")))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, other)
    assert await names(database) == {"other"}


async def test_a_write_whose_caller_gave_up_is_not_run_again_on_its_own(
    database: Database,
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    shared, fail = threading.Event(), threading.Event()

    def slow(_: Transaction) -> None:
        begun.set()
        assert go_on.wait(30)

    def failing(_: Transaction) -> None:
        shared.set()
        assert fail.wait(30)
        raise LookupError

    first = asyncio.create_task(database.write(slow))
    await asyncio.to_thread(begun.wait, 30)
    bad = asyncio.create_task(database.write(failing))
    cancelled = asyncio.create_task(database.write(partial(put, "cancelled")))
    other = asyncio.create_task(database.write(partial(put, "other")))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.to_thread(shared.wait, 30)
    cancelled.cancel()
    await asyncio.sleep(0)
    fail.set()
    with pytest.raises(LookupError):
        await bad
    await asyncio.gather(first, other)
    assert await names(database) == {"other"}


async def test_closing_finishes_what_was_asked_for(database: Database) -> None:
    asked = [asyncio.create_task(database.write(partial(put, str(n)))) for n in range(50)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*asked) == [str(n) for n in range(50)]


async def test_a_read_sees_one_state_while_writes_go_on(database: Database) -> None:
    loop = asyncio.get_running_loop()

    def work(connection: object) -> tuple[int, int]:
        count = select(properties.c.name)
        before = len(connection.execute(count).all())  # type: ignore[attr-defined]
        asyncio.run_coroutine_threadsafe(database.write(partial(put, "new")), loop).result()
        return before, len(connection.execute(count).all())  # type: ignore[attr-defined]

    assert await database.read(work) == (0, 0)
    assert await names(database) == {"new"}


async def test_whoever_waits_for_a_later_revision_is_woken_by_it(database: Database) -> None:
    waiting = asyncio.create_task(database.wait_beyond(0))
    await database.write(partial(put, "without a change"))
    assert not waiting.done()
    await database.write(lambda transaction: transaction.change("thing", "x"))
    await waiting
