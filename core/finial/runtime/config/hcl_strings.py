"""The strings of HCL 1: quoted with escapes and `${...}` kept as it is, and heredocs."""

import re

from finial.runtime.config.source import Source, is_text, printable

_PLAIN = re.compile(r'[^"\\\n$]+')
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}
_CODED = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})")
_HEREDOC = re.compile(r"<<(-?)([^\W\d]\w*)[ \t\r]*\n")
MOST_CODE = 0x10FFFF


def read_string(source: Source, start: int) -> tuple[str, int]:
    """The content of the quoted string at `start`, and where it ends."""
    text, at = source.text, start + 1
    parts: list[str] = []
    while at < len(text) and text[at] != "\n":
        char = text[at]
        if char == '"':
            return _checked(source, start, "".join(parts)), at + 1
        if char == "\\":
            part, at = _escape(source, at)
        elif text.startswith("${", at):
            part, at = _interpolation(source, at)
        elif char == "$":
            part, at = char, at + 1
        else:
            plain = _PLAIN.match(text, at)
            part = plain[0] if plain else char
            at += len(part)
        parts.append(part)
    raise source.error(start, "a string that is not closed", 'close it with " on the same line')


def _checked(source: Source, start: int, value: str) -> str:
    if not is_text(value):
        raise source.error(start, "an escape that names half a character")
    return value


def _escape(source: Source, at: int) -> tuple[str, int]:
    char = source.text[at + 1 : at + 2]
    if char in _SIMPLE:
        return _SIMPLE[char], at + 2
    coded = _CODED.match(source.text, at + 1)
    if coded is None:
        raise source.error(
            at,
            f"unknown escape after a backslash: {printable(char)}",
            "write a backslash as \\\\",
        )
    octal = coded[4]
    code = int(octal, 8) if octal else int(coded[1] or coded[2] or coded[3], 16)
    if code > MOST_CODE:
        raise source.error(at, "an escape beyond Unicode")
    return chr(code), coded.end()


def _interpolation(source: Source, start: int) -> tuple[str, int]:
    """`${...}` with everything in it, quotes and line breaks too: HCL 1 leaves it alone."""
    depth = 0
    for at in range(start + 1, len(source.text)):
        char = source.text[at]
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return source.text[start : at + 1], at + 1
    raise source.error(start, "${ that is not closed", "close it with }")


def read_heredoc(source: Source, start: int) -> tuple[str, int]:
    """The content of the heredoc at `start` (its last line break included), and where it ends."""
    head = _HEREDOC.match(source.text, start)
    if head is None:
        raise source.error(start, "a heredoc without a name", "begin it with <<EOF and a new line")
    indented, name = head.groups()
    closing = re.compile(rf"^[ \t]*{re.escape(name)}(?=\r?$)", re.MULTILINE)
    tail = closing.search(source.text, head.end())
    if tail is None:
        raise source.error(start, f"a heredoc that is not closed by {name} on a line of its own")
    body = source.text[head.end() : tail.start()]
    indent = tail[0][: -len(name)]
    # Without the dash, what stands before the closing name belongs to the content.
    return (_unindented(body, indent) if indented else body + indent), tail.end()


def _unindented(body: str, indent: str) -> str:
    """Without the closing line's indentation, if all lines have it; HCL 1 keeps them otherwise."""
    lines = body.split("\n")
    if all(line.startswith(indent) for line in lines[:-1]):
        return "\n".join(line.removeprefix(indent) for line in lines)
    return body
