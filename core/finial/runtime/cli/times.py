"""Points in time as Go prints them, in the local zone."""

from datetime import UTC, datetime


def local_time(seconds: float) -> str:
    """`2026-11-22 17:15:36 +0000 UTC`, with nine digits cut to whole seconds."""
    return f"{_local(seconds):%Y-%m-%d %H:%M:%S %z %Z}"


def rfc3339(seconds: float) -> str:
    """`2026-11-22T17:15:36Z`."""
    moment = _local(seconds)
    if not moment.utcoffset():
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    return moment.isoformat(timespec="seconds")


def _local(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC).astimezone()
