import random

from finial.agent import rotation


def test_renewal_is_at_half_of_the_life_give_or_take_a_tenth() -> None:
    rng = random.Random(1)
    times = [rotation.rotation_time(1000, 1600, rng) for _ in range(2000)]
    assert min(times) >= 1000 + 300 * 0.9
    assert max(times) <= 1000 + 300 * 1.1
    assert max(times) - min(times) > 50


def test_what_is_expired_already_is_due_at_once() -> None:
    assert rotation.rotation_time(1000, 900, random.Random(1)) == 1000


def test_a_short_life_is_still_renewed_in_the_middle() -> None:
    at = rotation.rotation_time(1000, 1005, random.Random(1))
    assert 1002.2 < at < 1002.8


def test_tokens_are_refreshed_from_half_of_their_life() -> None:
    assert rotation.refresh_time(0, 300) == 150
    assert rotation.must_wait_time(0, 300) == 270
