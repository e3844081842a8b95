"""One log record as one line: logrus-like text, or JSON with the same field names.

The last guard against secrets is here: fields named like one, `Secret` values, PEM private keys
and JWTs are replaced whatever brought them. It is a net, not a licence.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from finial.runtime.secret import REDACTED

SECRET_NAME = re.compile(
    r"(?i)(?:^|_)(?:password|passwd|passphrase|secret|authorization|private_key|key_pkcs8|pkcs8"
    r"|jwt|jwt_svid|token|join_token)$"
)
SECRET_TEXT = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[\w-]+\.eyJ[\w-]+\.[\w-]*",
    re.DOTALL,
)
BARE = re.compile(r"[\w.@/^+:\[\]-]+\Z", re.ASCII)
NAMES = (
    (60, "panic"),
    (logging.CRITICAL, "fatal"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
    (logging.DEBUG, "debug"),
)


class _LineFormatter(logging.Formatter):
    def __init__(self, *, source_location: bool = False) -> None:
        super().__init__()
        self._source_location = source_location

    def _fields(self, record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
        yield "time", datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        yield "level", next((name for least, name in NAMES if record.levelno >= least), "trace")
        yield "msg", scrub(record.getMessage())
        yield "subsystem_name", record.name.removeprefix("finial.")
        if self._source_location:
            yield "file", f"{record.pathname}:{record.lineno}"
        data = getattr(record, "data", None)
        if isinstance(data, Mapping):
            yield from ((name, redact(name, value)) for name, value in data.items())
        if record.exc_info and record.exc_info[0]:
            yield "traceback", scrub(self.formatException(record.exc_info))


class TextFormatter(_LineFormatter):
    """`time="..." level=info msg="..." key=value`, values quoted when they are not plain words."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{_bare(name)}={_text(value)}" for name, value in self._fields(record))


class JsonFormatter(_LineFormatter):
    """The same fields as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(dict(self._fields(record)), default=_printable, ensure_ascii=False)


def redact(name: str, value: Any) -> Any:
    """The value as it may be printed under that field name."""
    if SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {str(key): redact(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact("", item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _printable(value)


def scrub(text: str) -> str:
    """The text without PEM private keys and JWTs."""
    if "PRIVATE KEY" in text or "eyJ" in text:
        return SECRET_TEXT.sub(REDACTED, text)
    return text


def _printable(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return scrub(str(value))


def _bare(name: str) -> str:
    return name if BARE.match(name) else json.dumps(name)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else json.dumps(value, default=_printable)
    return text if BARE.match(text) else json.dumps(text, ensure_ascii=False)
