"""HCL 1 as tokens."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from finial.runtime.config.hcl_strings import read_heredoc, read_string
from finial.runtime.config.source import Source, printable

Kind = Literal["ident", "string", "heredoc", "number", "{", "}", "[", "]", "=", ",", "end"]

_SKIP = re.compile(r"(?:[ \t\r\n]+|#[^\n]*|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_IDENT = re.compile(r"[^\W\d][\w.\-]*")
_NUMBER = re.compile(
    r"-?(?:0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
)
_OCTAL = re.compile(r"-?0[0-9]+")
_MARKS: dict[str, Kind] = {
    "{": "{",
    "}": "}",
    "[": "[",
    "]": "]",
    "=": "=",
    ",": ",",
}


@dataclass(frozen=True, slots=True)
class Token:
    """`value` is the identifier, the string's content or the number; the mark itself otherwise."""

    kind: Kind
    value: str | int | float
    offset: int

    def __str__(self) -> str:
        # What a string holds stays unsaid: it may be a join token.
        if self.kind in ("string", "heredoc", "number"):
            return f"a {self.kind}"
        return "end of file" if self.kind == "end" else printable(str(self.value))


def tokens(source: Source) -> Iterator[Token]:
    """The tokens of a text, the last of kind `end`; raises ConfigError at what is none."""
    text, at = source.text, 0
    while True:
        skipped = _SKIP.match(text, at)
        at = skipped.end() if skipped else at
        if at >= len(text):
            yield Token("end", "", at)
            return
        token, at = _next(source, at)
        yield token


def _next(source: Source, at: int) -> tuple[Token, int]:
    text, char = source.text, source.text[at]
    if char in _MARKS:
        return Token(_MARKS[char], char, at), at + 1
    if char == '"':
        value, end = read_string(source, at)
        return Token("string", value, at), end
    if text.startswith("<<", at):
        value, end = read_heredoc(source, at)
        return Token("heredoc", value, at), end
    if found := _IDENT.match(text, at):
        return Token("ident", found[0], at), found.end()
    if found := _NUMBER.match(text, at):
        return _number(source, at, found[0])
    return _unknown(source, at)


def _number(source: Source, at: int, digits: str) -> tuple[Token, int]:
    end = at + len(digits)
    if _IDENT.match(source.text, end) or source.text.startswith(".", end):
        raise source.error(at, "a number that runs into letters", 'quote it, as in "1h"')
    return Token("number", _value(source, at, digits), at), end


def _value(source: Source, at: int, digits: str) -> int | float:
    try:
        if "x" in digits or "X" in digits:
            return int(digits, 16)
        if _OCTAL.fullmatch(digits):
            return int(digits, 8)
        if digits.lstrip("-").isdigit():
            return int(digits)
        number = float(digits)
    except ValueError:
        raise source.error(at, "an impossible number") from None
    if number in (float("inf"), float("-inf")):
        raise source.error(at, "a number out of range")
    return number


def _unknown(source: Source, at: int) -> tuple[Token, int]:
    if source.text.startswith("/*", at):
        raise source.error(at, "a comment that is not closed", "close it with */")
    hints = {"'": "strings take double quotes", ":": "write key = value", ";": "leave it out"}
    char = source.text[at]
    raise source.error(at, f"unexpected {printable(char)}", hints.get(char, ""))
