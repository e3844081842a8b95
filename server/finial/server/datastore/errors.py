"""What can go wrong with a database; every message says what to do.

StoreError
├── StoreUnusable         the database cannot be opened or used as it is
│   ├── DatabaseDamaged   not a database, or a damaged one
│   ├── NewerSchema       written by a newer Finial
│   ├── ForeignDatabase   another program's tables
│   │   └── SpireDatabase a SPIRE server's own database
│   └── NotWritable       the file or its folder cannot be written
├── RowUnreadable         one row is not as it was written
├── StoreFull             no space left; what was acknowledged is kept, and work can go on later
├── StoreBusy             another process holds the database
├── StoreSlow             the database's server took too long
├── StoreUnreachable      no connection to the database's server
├── OutcomeUnknown        the connection broke while a change was being committed
└── StoreClosed           used after close
"""
# ruff: noqa: N818  (each is named for what happened; the root of the tree says error)

from __future__ import annotations


class StoreError(Exception):
    """Base of everything that a database can refuse."""


class StoreUnusable(StoreError):
    """The database cannot be opened or used as it is."""


class DatabaseDamaged(StoreUnusable):
    """The file is not a database, or a damaged one."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"database {path} is damaged or not a database ({reason}): restore it from a backup, "
            "or move it away together with its -wal and -shm files to start empty"
        )


class NewerSchema(StoreUnusable):
    """The schema is one that this program does not know."""

    def __init__(self, path: str, found: str, known: str) -> None:
        super().__init__(
            f"database {path} was written by a newer Finial (schema {found}, this program knows "
            f"up to {known}): start that version again, or restore a backup from before the upgrade"
        )


class ForeignDatabase(StoreUnusable):
    """The database holds another program's tables."""

    def __init__(self, path: str, table: str) -> None:
        super().__init__(
            f"database {path} belongs to another program (it has a table {table}): "
            "name another database"
        )


class SpireDatabase(ForeignDatabase):
    """The database is a SPIRE server's own; nothing was written to it."""

    def __init__(self, path: str) -> None:
        StoreUnusable.__init__(
            self,
            f"database {path} is a SPIRE server's own: take it over with "
            "`finial server import spire`, or name another database",
        )


class NotWritable(StoreUnusable):
    """The database file, or the folder it lives in, cannot be opened for writing."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"database {path} cannot be opened for writing ({reason}): the server's user needs "
            "write permission on the file and on its folder"
        )


class RowUnreadable(StoreError):
    """A row is not as this program writes them; all others may be."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"database {path} has a row that is not as it was written ({reason}): "
            "write the thing anew, or restore the database from a backup"
        )
        self.reason = reason


class StoreFull(StoreError):
    """No space is left. Nothing of the refused change is kept, nothing acknowledged is lost."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"no space is left for database {path}: free some, nothing acknowledged is lost "
            "and no restart is needed"
        )


class StoreBusy(StoreError):
    """Another process has held the database for too long."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"database {path} is held by another process: stop that process, "
            "only one server may use it"
        )


class StoreSlow(StoreError):
    """The database did not do in time what was asked; nothing was changed."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"database {name} did not do in time what was asked ({reason}): try again, and look "
            "at what else is at work in it if that goes on"
        )


class StoreUnreachable(StoreError):
    """There is no connection to the database's server, or it did not answer in time."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"database {name} cannot be reached ({reason}): check that it runs, that the network "
            "lets this server through, and the connection_string"
        )


class OutcomeUnknown(StoreError):
    """The connection broke during a commit: the change is made in full, or not at all."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"the connection to database {name} was lost while a change was being committed "
            f"({reason}): it is not known whether the change was made; look before making it again"
        )


class StoreClosed(StoreError):
    """The database was closed."""

    def __init__(self, path: str) -> None:
        super().__init__(f"database {path} is closed")
