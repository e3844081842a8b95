"""The first look at a database file, which must leave no trace in one that is not ours.

Opening another program's database in the ordinary way is not harmless: SQLite moves what stands in
its write-ahead log into the file when the last connection closes. So the file is read as immutable
first, and where its tables still stand in the log only, a copy of both is read.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from finial.server.datastore.errors import (
    DatabaseDamaged,
    ForeignDatabase,
    NotWritable,
    SpireDatabase,
)
from finial.server.datastore.schema import version

_SPIRE_TABLE = "registered_entries"
_SMALLEST = 512
"""Bytes in a database's first page at least; SQLite takes a shorter file for an empty one."""

_SMALL = 1 << 20
"""Bytes: a database file whose tables are all in its log yet is far smaller than this."""


def refuse_foreign(path: Path) -> None:
    """Return if the file is ours or empty; make an empty one, mode 0600, where there is none.

    Raises:
        NotWritable: there is no folder, or no right to write the file.
        DatabaseDamaged: it is too short to be one.
        SpireDatabase, ForeignDatabase: it is another program's.
        sqlite3.Error: it is damaged or no database.
    """
    if not path.exists():
        _make(path)
        return
    if path.is_dir():
        raise NotWritable(str(path), "it is a folder")
    if 0 < path.stat().st_size < _SMALLEST:
        raise DatabaseDamaged(str(path), "it is too short")
    tables = _tables(path)
    if _SPIRE_TABLE in tables:
        raise SpireDatabase(str(path))
    if tables and version.name not in tables:
        raise ForeignDatabase(str(path), min(tables))


def _make(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise NotWritable(str(path), (error.strerror or "cannot be made").lower()) from None


def _tables(path: Path) -> set[str]:
    log = path.with_name(path.name + "-wal")
    unfinished = log.exists() and log.stat().st_size > 0
    try:
        tables = _read(f"file:{quote(str(path))}?mode=ro&immutable=1")
    except sqlite3.DatabaseError:
        if not unfinished:
            raise
        return set()  # perhaps only half moved from its log; an ordinary open completes it
    if not tables and unfinished and path.stat().st_size < _SMALL:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(shutil.copy(path, Path(folder, "copy")))
            shutil.copy(log, copy.with_name("copy-wal"))
            return _read(f"file:{quote(str(copy))}")
    return tables


def _read(uri: str) -> set[str]:
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name for (name,) in rows}
