"""TOML into a document. The standard library parses; the places are looked up line by line."""

import re
import tomllib
from typing import Any

from finial.runtime.config.document import MOST_DEPTH, Document, Node, Path
from finial.runtime.config.errors import ConfigError, Mark

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_LINE = re.compile(rf"[ \t]*(?:(\[\[?)[ \t]*({_DOTTED})[ \t]*\]|({_DOTTED})[ \t]*=)")
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")


def parse_toml(text: str, file: str) -> Document:
    """The document of a TOML text; raises ConfigError, and nothing else, for any other text."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(text, file, error) from None
    places = _places(text, file)
    return Document(file, _node(data, (), Mark(file, 1, 1), places))


def _unreadable(text: str, file: str, error: Exception) -> ConfigError:
    if isinstance(error, RecursionError):
        return ConfigError.at(Mark(file), f"nested deeper than {MOST_DEPTH} levels")
    place = _PLACE.search(str(error))
    mark = Mark(file, text.count("\n") + 1, 1)
    if place is None:
        mark = Mark(file)
    elif place[1]:
        mark = Mark(file, int(place[1]), int(place[2]))
    # Its messages quote the text; the first line break ends what we repeat.
    message = _PLACE.sub("", str(error)).splitlines()[0] if str(error) else "no TOML"
    return ConfigError.at(mark, message[:1].lower() + message[1:])


def _node(data: Any, path: Path, around: Mark, places: dict[Path, Mark]) -> Node:
    mark = places.get(path, around)
    if len(path) > MOST_DEPTH:
        raise ConfigError.at(mark, f"nested deeper than {MOST_DEPTH} levels")
    if isinstance(data, dict):
        table = {key: _node(child, (*path, key), mark, places) for key, child in data.items()}
        return Node(mark, table)
    if isinstance(data, list):
        return Node(mark, [_node(x, (*path, at), mark, places) for at, x in enumerate(data)])
    if isinstance(data, str | int | float):
        return Node(mark, data)
    raise ConfigError.at(mark, "no setting is a date or a time", "quote it if it is a text")


def _places(text: str, file: str) -> dict[Path, Mark]:
    """Where each key stands; a line within a long string may look like one, and mislead."""
    places: dict[Path, Mark] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.split("\n"), start=1):
        found = _LINE.match(line)
        if found is None:
            continue
        brackets, header, key = found.groups()
        start = found.start(2) if header else found.start(3)
        path = _path(header) if header else (*table, *_path(key))
        if header:
            if brackets == "[[":
                counts[path] = counts.get(path, -1) + 1
            path = table = _indexed(path, counts)
        for length in range(1, len(path) + 1):
            places.setdefault(path[:length], Mark(file, number, start + 1))
    return places


def _indexed(path: Path, counts: dict[Path, int]) -> Path:
    """The path of a header, with the running number of each array of tables on the way."""
    real: Path = ()
    for length in range(1, len(path) + 1):
        real += (path[length - 1],)
        if path[:length] in counts:
            real += (counts[path[:length]],)
    return real


def _path(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, dotted))
