"""Structured logging over the standard library's, with SPIRE's level names.

Messages are fixed texts; what varies goes into fields. Only our own loggers (below `finial`)
follow the level: at debug a third party's would print headers and statements that may hold
secrets, so theirs start at warning always.
"""

import logging
import logging.handlers
import sys
from pathlib import Path
from typing import Any, Literal, TextIO

from finial.runtime.log_format import JsonFormatter, TextFormatter

Format = Literal["text", "json"]

TRACE = 5
PANIC = 60
LEVELS = {
    "panic": PANIC,
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}
ALIASES = {"warning": "warn"}
OURS = logging.getLogger("finial")


def level_number(name: str) -> int:
    """The standard library's number for SPIRE's level name, in any case; ValueError if unknown."""
    folded = name.strip().lower()
    try:
        return LEVELS[ALIASES.get(folded, folded)]
    except KeyError:
        raise ValueError(f"unknown log level {name!r}: use one of {', '.join(LEVELS)}") from None


class _Launch:
    """The level that the process was started with, to which `reset_level` returns."""

    level = logging.INFO


def setup(
    level: str = "info",
    *,
    format: Format = "text",  # noqa: A002 - the configuration calls it that
    file: Path | None = None,
    stream: TextIO | None = None,
    source_location: bool = False,
) -> None:
    """Send every logger's lines to `file`, else to `stream`, else to standard output.

    `level` becomes the launch level. A file that is moved away is opened anew. Called again it
    replaces what was set before. Raises ValueError for a level, OSError for a file.
    """
    number = level_number(level)
    handler = _handler(file, stream)
    formatter = JsonFormatter if format == "json" else TextFormatter
    handler.setFormatter(formatter(source_location=source_location))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if getattr(old, "finial", False):
            root.removeHandler(old)
            old.close()
    handler.finial = True  # type: ignore[attr-defined] # so that the next setup finds it
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    _Launch.level = number
    OURS.setLevel(number)


def _handler(file: Path | None, stream: TextIO | None) -> logging.Handler:
    if file is None:
        return logging.StreamHandler(stream or sys.stdout)
    return logging.handlers.WatchedFileHandler(file, encoding="utf-8")


def set_level(name: str) -> None:
    """Change the level of the running process; ValueError for an unknown name."""
    OURS.setLevel(level_number(name))


def reset_level() -> None:
    """Return to the launch level."""
    OURS.setLevel(_Launch.level)


def current_level() -> str:
    """The level in force, by SPIRE's name."""
    return _name_of(OURS.getEffectiveLevel())


def launch_level() -> str:
    """The level that the process was started with, by SPIRE's name."""
    return _name_of(_Launch.level)


def _name_of(number: int) -> str:
    return next(name for name, least in LEVELS.items() if number >= least)


def log(logger: logging.Logger, level: int, message: str, /, **fields: Any) -> None:
    """Log a fixed text with its fields; costs next to nothing when the level is off."""
    if logger.isEnabledFor(level):
        logger.log(level, message, extra={"data": fields}, stacklevel=2)
