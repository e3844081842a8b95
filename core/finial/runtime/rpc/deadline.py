"""The grpc-timeout header (gRPC over HTTP2, Requests: at most eight digits and a unit)."""

import math
import re

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_FINE_TO_COARSE = ((b"n", 1e9), (b"u", 1e6), (b"m", 1e3), (b"S", 1.0), (b"M", 1 / 60))
_MOST = 99_999_999


def parse_timeout(raw: bytes) -> float | None:
    """Return seconds, or None when `raw` is not a timeout."""
    match = _TIMEOUT.fullmatch(raw)
    if match is None:
        return None
    return int(match[1]) * _UNIT[match[2]]


def format_timeout(seconds: float) -> bytes:
    """Return `seconds` in the finest unit that holds them; what is past is one nanosecond.

    Rounded up: a server must never give up before the deadline of the caller.
    """
    if seconds <= 0:
        return b"1n"
    for unit, per_second in _FINE_TO_COARSE:
        amount = math.ceil(seconds * per_second)
        if amount <= _MOST:
            return b"%d%s" % (amount, unit)
    return b"%dH" % min(math.ceil(seconds / 3600), _MOST)
