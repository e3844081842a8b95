"""A text with its name: turns offsets into places, and places into errors."""

import re
from bisect import bisect_right

from finial.runtime.config.errors import ConfigError, Mark


class Source:
    """What the readers read from."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def mark(self, offset: int) -> Mark:
        """The place of the character at `offset`."""
        line = bisect_right(self._starts, offset)
        return Mark(self.file, line, offset - self._starts[line - 1] + 1)

    def error(self, offset: int, message: str, way_out: str = "") -> ConfigError:
        """What to raise for that place."""
        return ConfigError.at(self.mark(offset), message, way_out)


def printable(text: str, most: int = 20) -> str:
    """A piece of the text as it may stand in a message."""
    return repr(text if len(text) <= most else text[:most] + "…")


def is_text(value: str) -> bool:
    """Whether the value can be written as UTF-8: escapes can name half of a surrogate pair."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
