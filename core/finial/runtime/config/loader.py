"""From a file to a document: by its name TOML, by its first character JSON, else HCL."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from finial.runtime.config.document import MOST_BYTES, Document
from finial.runtime.config.errors import ConfigError, Mark, Problem
from finial.runtime.config.hcl import parse_hcl
from finial.runtime.config.json_form import parse_json
from finial.runtime.config.source import Source
from finial.runtime.config.toml_form import parse_toml

_VARIABLE = re.compile(r"\$(?:\{([^}\n]*)(\}?)|([A-Za-z_][A-Za-z0-9_]*)|([0-9*#$@!?-]))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMENT = re.compile(r"[ \t]*(?:#|//)")


def load_file(
    path: Path, *, expand_env: bool = False, env: Mapping[str, str] | None = None
) -> Document:
    """Read a configuration file; `expand_env` puts environment variables in before parsing.

    Raises ConfigError when it cannot be read, is no UTF-8, exceeds a mebibyte, is no text of its
    format, or names a variable that is not set.
    """
    text = _read(path)
    if expand_env:
        text = expand(text, os.environ if env is None else env, str(path))
    return parse_document(text, str(path))


def parse_document(text: str, file: str) -> Document:
    """The document of a text in the format that its file name and first character tell."""
    text = text.replace("\r\n", "\n")
    if "\0" in text:
        raise Source(text, file).error(text.index("\0"), "a zero byte", "is it a text file?")
    if file.lower().endswith(".toml"):
        return parse_toml(text, file)
    if text.lstrip(" \t\r\n").startswith("{"):
        return parse_json(text, file)
    return parse_hcl(text, file)


def _read(path: Path) -> str:
    mark = Mark(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ConfigError.at(
            mark, f"cannot read the configuration file: {reason}", "name another with -config"
        ) from error
    if len(data) > MOST_BYTES:
        raise ConfigError.at(mark, f"larger than {MOST_BYTES} bytes", "is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        mark = Mark(str(path), line, column)
        raise ConfigError.at(mark, "no UTF-8 text", "save the file as UTF-8") from None


def expand(text: str, env: Mapping[str, str], file: str) -> str:
    """The text with `$NAME` and `${NAME}` replaced; raises ConfigError for all that cannot be.

    An unset variable is refused, where SPIRE puts in nothing; lines that are comments may name
    what they like.
    """
    source = Source(text, file)
    problems: list[Problem] = []

    def value(found: re.Match[str]) -> str:
        name = found[1] if found[1] is not None else found[3] or ""
        line_start = text.rfind("\n", 0, found.start()) + 1
        complaint = _complaint(name, env, closed=found[1] is None or bool(found[2]))
        if not complaint:
            return env[name]
        if not _COMMENT.match(text, line_start):
            way_out = "set it, or start without -expandEnv"
            problems.append(Problem(source.mark(found.start()), "", complaint, way_out))
        return found[0]

    expanded = _VARIABLE.sub(value, text)
    if problems:
        raise ConfigError(problems)
    return expanded


def _complaint(name: str, env: Mapping[str, str], *, closed: bool) -> str:
    if not closed:
        return "${ that is not closed on its line"
    if not _NAME.fullmatch(name):
        return "$ before something that is no variable's name"
    if name not in env:
        return f"environment variable {name} is not set"
    return ""
