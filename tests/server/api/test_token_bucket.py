"""The token bucket, without a clock."""

from hypothesis import given
from hypothesis import strategies as st

from finial.server.api.token_bucket import TokenBucket


def test_a_full_bucket_serves_its_burst_without_waiting() -> None:
    bucket = TokenBucket.full(rate=5, burst=5, now=100.0)
    assert bucket.wait_for(5, 100.0) == 0.0


def test_who_finds_too_few_tokens_waits_until_they_have_come_in() -> None:
    bucket = TokenBucket.full(rate=2, burst=2, now=0.0)
    bucket.take(2, 0.0)
    assert bucket.wait_for(1, 0.0) == 0.5
    assert bucket.wait_for(1, 0.5) == 0.0


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket.full(rate=10, burst=10, now=0.0)
    bucket.take(10, 0.0)
    assert bucket.is_full(1000.0)
    assert bucket.wait_for(11, 1000.0) > 0.0


def test_a_clock_that_stands_still_or_goes_back_brings_no_tokens() -> None:
    bucket = TokenBucket.full(rate=1, burst=1, now=10.0)
    bucket.take(1, 10.0)
    assert bucket.wait_for(1, 9.0) == 1.0


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 5)), max_size=60))
def test_over_any_time_no_more_than_burst_plus_rate_times_time_is_served(
    calls: list[tuple[float, int]],
) -> None:
    bucket = TokenBucket.full(rate=5, burst=5, now=0.0)
    now, served = 0.0, 0
    for pause, cost in calls:
        now += pause
        if bucket.wait_for(cost, now) == 0.0:
            bucket.take(cost, now)
            served += cost
    assert served <= 5 + 5 * now + 1e-6
