import asyncio

from finial.server.datastore.horizon import Horizon, Sighting


async def test_what_was_overtaken_changes_nothing() -> None:
    horizon = Horizon("a", 5)
    looked_at = horizon.mark()
    horizon.see(Sighting("a", 7, *looked_at))
    horizon.see(Sighting("a", 6, *looked_at))  # seen before 7, told after it
    assert horizon.mark() == (0, 7)


async def test_a_feed_that_went_back_is_another_history() -> None:
    horizon = Horizon("a", 5)
    waiting = asyncio.create_task(horizon.wait_beyond(5, 0))
    horizon.see(Sighting("a", 3, *horizon.mark()))
    await waiting
    assert horizon.mark() == (1, 3)


async def test_another_origin_is_another_history_even_where_it_goes_further() -> None:
    horizon = Horizon("a", 5)
    horizon.see(Sighting("b", 9, *horizon.mark()))
    assert (horizon.mark(), horizon.origin) == ((1, 9), "b")


async def test_two_threads_that_find_the_same_loss_make_one_history() -> None:
    horizon = Horizon("a", 5)
    before = horizon.mark()
    horizon.see(Sighting("b", 3, *before))
    horizon.see(Sighting("b", 4, *before))
    assert horizon.mark() == (1, 4)


async def test_news_of_a_lost_history_changes_nothing() -> None:
    horizon = Horizon("a", 5)
    before = horizon.mark()
    horizon.see(Sighting("b", 3, *before))
    horizon.see(Sighting("a", 8, *before))
    assert horizon.mark() == (1, 3)


async def test_who_waits_is_not_woken_for_nothing() -> None:
    horizon = Horizon("a", 5)
    waiting = asyncio.create_task(horizon.wait_beyond(6, 0))
    horizon.see(Sighting("a", 6, *horizon.mark()))
    await asyncio.sleep(0)
    assert not waiting.done()
    horizon.see(Sighting("a", 7, *horizon.mark()))
    await waiting
