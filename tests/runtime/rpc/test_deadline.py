import pytest

from finial.runtime.rpc.deadline import format_timeout, parse_timeout


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (b"1H", 3600),
        (b"2M", 120),
        (b"3S", 3),
        (b"4m", 0.004),
        (b"5u", 5e-6),
        (b"6n", 6e-9),
        (b"99999999n", 0.099999999),
        (b"0S", 0),
    ],
)
def test_every_unit_is_read(raw: bytes, seconds: float) -> None:
    assert parse_timeout(raw) == pytest.approx(seconds)


@pytest.mark.parametrize("raw", [b"", b"1", b"S", b"-1S", b"1.5S", b"123456789S", b"1s", b"1S "])
def test_anything_else_is_no_timeout(raw: bytes) -> None:
    assert parse_timeout(raw) is None


@pytest.mark.parametrize("seconds", [1e-9, 0.05, 1, 29.999, 5000, 1e6, 1e9])
def test_what_is_written_is_read_again(seconds: float) -> None:
    raw = format_timeout(seconds)
    assert len(raw) <= 9
    assert parse_timeout(raw) == pytest.approx(seconds, rel=1e-4)


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.1999999999, 99.9999991, 1e6 + 1 / 3])
def test_a_server_is_never_told_less_than_the_caller_waits(seconds: float) -> None:
    told = parse_timeout(format_timeout(seconds))
    assert told is not None
    assert told >= seconds - 1e-12


def test_the_past_is_the_shortest_timeout() -> None:
    assert format_timeout(-3) == b"1n"


def test_forever_is_the_longest_timeout() -> None:
    assert format_timeout(1e15) == b"99999999H"
