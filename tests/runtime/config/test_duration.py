import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finial.runtime.config import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("300ms", 0.3),
        ("0", 0),
        ("+5s", 5),
        ("-2s", -2),
        ("1h0m0s", 3600),
        (".5s", 0.5),
        ("1.s", 1),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("1ns", 1e-9),
        ("2562047h47m16.854775807s", 9223372036.854776),
    ],
)
def test_durations_are_what_go_makes_of_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no duration"),
        ("-", "no duration"),
        ("h", "no duration"),
        ("1h ", "no duration"),
        ("1h 5m", "no duration"),
        ("--1s", "no duration"),
        ("٣s", "no duration"),
        ("60", "lacks a unit"),
        ("1h5", "lacks a unit"),
        ("1d", 'unknown unit "d"'),
        ("1H", "lacks a unit|no duration"),
        ("1hh", 'unknown unit "hh"'),
        ("3000000h", "longer than 292 years"),
        ("9" * 400 + "h", "longer than 292 years"),
    ],
)
def test_what_is_no_duration_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(86400, "24h0m0s"), (5400, "1h30m0s"), (300, "5m0s"), (30, "30s"), (0, "0s"), (-90, "-1m30s")],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(-(10**9), 10**9))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text())
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_duration(text), float)
