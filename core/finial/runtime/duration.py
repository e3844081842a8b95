"""Durations as Go writes them: `1h30m`, `1.5h`, `300ms`, `-2s`, `0`."""

import re

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
LONGEST = float(2**63 - 1) * 1e-9
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([a-zµμ]*)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of a Go duration; ValueError when it is none, or beyond Go's 292 years."""
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0.0
    seconds = sum(_parts(text, unsigned))
    if seconds > LONGEST:
        raise ValueError(f'duration "{text}" is longer than 292 years')
    return -seconds if text.startswith("-") else seconds


def _parts(text: str, unsigned: str) -> list[float]:
    seconds: list[float] = []
    place = 0
    while place < len(unsigned) or not seconds:
        part = _PART.match(unsigned, place)
        if part is None:
            raise ValueError(f'"{text}" is no duration')
        number, unit = part.groups()
        if not unit:
            raise ValueError(f'duration "{text}" lacks a unit')
        if unit not in UNITS:
            raise ValueError(f'duration "{text}" has the unknown unit "{unit}"')
        seconds.append(float(number) * UNITS[unit])
        place = part.end()
    return seconds


def format_duration(seconds: float) -> str:
    """The Go text of a whole number of seconds, rounded: `24h0m0s`, `5m0s`, `30s`."""
    whole = round(abs(seconds))
    sign = "-" if seconds < 0 and whole else ""
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    if hours:
        return f"{sign}{hours}h{minutes}m{second}s"
    return f"{sign}{minutes}m{second}s" if minutes else f"{sign}{second}s"
