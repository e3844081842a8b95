"""JSON into a document, with positions; in the shape that the same settings have in HCL."""

import json
import re

from finial.runtime.config.document import MOST_DEPTH, Document, Node, insert
from finial.runtime.config.errors import ConfigError
from finial.runtime.config.source import Source, is_text, printable

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x08\x0a-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def parse_json(text: str, file: str) -> Document:
    """The document of a JSON object; raises ConfigError, and nothing else, for any other text."""
    parser = _Parser(Source(text, file))
    root = parser.value(0)
    parser.end()
    if not isinstance(root.value, dict):
        raise parser.source.error(0, "no JSON object")
    return Document(file, root)


class _Parser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self._text = source.text
        self._at = 0

    def value(self, depth: int) -> Node:
        if depth > MOST_DEPTH:
            raise self._error(f"nested deeper than {MOST_DEPTH} levels")
        self._skip()
        mark = self.source.mark(self._at)
        if self._next("{"):
            return Node(mark, self._members(depth))
        if self._next("["):
            return Node(mark, self._items(depth))
        return Node(mark, self._scalar())

    def end(self) -> None:
        self._skip()
        if self._at < len(self._text):
            raise self._error("text after the end of the object")

    def _members(self, depth: int) -> dict[str, Node]:
        table: dict[str, Node] = {}
        while not self._next("}"):
            if table:
                self._expect(",")
            self._skip()
            mark = self.source.mark(self._at)
            key = self._string()
            self._expect(":")
            child = self.value(depth + 1)
            insert(table, key, Node(mark, child.value))
        return table

    def _items(self, depth: int) -> list[Node]:
        items: list[Node] = []
        while not self._next("]"):
            if items:
                self._expect(",")
            items.append(self.value(depth + 1))
        return items

    def _scalar(self) -> str | int | float | bool | None:
        if self._text.startswith('"', self._at):
            return self._string()
        for word, meaning in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return meaning
        number = _NUMBER.match(self._text, self._at)
        if number is None:
            raise self._error(f"expected a value, found {self._here()}")
        try:
            value: int | float = json.loads(number[0])
        except ValueError:  # more digits than Python turns into an integer
            raise self._error("an impossible number") from None
        self._at = number.end()
        return value

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        if found is None:
            raise self._error(f"expected a string in double quotes, found {self._here()}")
        value: str = json.loads(found[0], strict=False)  # a tab may stand as it is
        if not is_text(value):
            raise self._error("an escape that names half a character")
        self._at = found.end()
        return value

    def _expect(self, mark: str) -> None:
        if not self._next(mark):
            raise self._error(f"expected {mark}, found {self._here()}")

    def _next(self, mark: str) -> bool:
        self._skip()
        if self._text.startswith(mark, self._at):
            self._at += 1
            return True
        return False

    def _skip(self) -> None:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at

    def _here(self) -> str:
        # One character only: the rest may be of a token.
        char = self._text[self._at : self._at + 1]
        return printable(char) if char else "end of file"

    def _error(self, message: str) -> ConfigError:
        return self.source.error(self._at, message)
