"""The DataStore `sql`: one set of SPIRE's keys, which mean other things for each database."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator

from finial.runtime.config.errors import FieldError
from finial.runtime.config.fields import FilePath, SecretText, whole
from finial.runtime.config.schema import Section, Unserved
from finial.runtime.config.sections import OFF
from finial.runtime.secret import Secret
from finial.server.datastore.errors import StoreUnusable

_INSTEAD = 'use "sqlite3" or "postgres"'
_UNSERVED = {
    "mysql": _INSTEAD,
    "aws_mysql": _INSTEAD,
    "aws_postgres": (
        'use "postgres" with a password or a client certificate; IAM tokens are not fetched'
    ),
}
_MOST_CONNECTIONS = 1 << 31
_NO_FEWER = 4


class SqlDataStore(Section):
    """DataStore `sql`."""

    @classmethod
    def variant(cls, data: Mapping[str, Any]) -> type[Self]:
        """Return the schema of the database that is meant."""
        kind: type[Any] = PostgresDataStore if _name(data) == "postgres" else SqliteDataStore
        return kind


def _name(data: Mapping[str, Any]) -> object:
    return data.get("database_type")


def _database_type(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, Mapping) and len(value) == 1:
        (name,) = value
        if name not in _UNSERVED:
            way_out = f'write database_type = "{name}"' if name in _SERVED else _INSTEAD
            raise FieldError(f'unknown database type: "{name}"', way_out)
        value = name  # SPIRE's other way of writing it: database_type "aws_postgres" { … }
    if isinstance(value, str) and value in _SERVED:
        return value
    shown = f'"{value}"' if isinstance(value, str) else "this"
    way_out = _UNSERVED.get(value, _INSTEAD) if isinstance(value, str) else _INSTEAD
    raise FieldError(f"{shown} is not served by Finial", way_out)


_SERVED = ("sqlite3", "postgres")
DatabaseType = Annotated[str, BeforeValidator(_database_type)]


def _sqlite_file(value: Any) -> Path:
    if isinstance(value, Path):
        return value
    text = value if isinstance(value, str) else ""
    path = text.removeprefix("file:")
    if not path or path.startswith(":memory:") or "mode=memory" in path:
        raise FieldError("must be the path of a file", "name one below the data_dir")
    if "?" in path:
        raise FieldError("must be a path without options", "remove the ? and what follows")
    return Path(path)


class SqliteDataStore(SqlDataStore):
    """A file, which one server has for itself."""

    unserved: ClassVar = {
        "ro_connection_string": Unserved("remove it; there is one SQLite file", ("",)),
        "root_ca_path": Unserved("remove it; SQLite has no connection to protect", ("",)),
        "client_cert_path": Unserved("remove it; SQLite has no connection to protect", ("",)),
        "client_key_path": Unserved("remove it; SQLite has no connection to protect", ("",)),
        "disable_migration": Unserved("remove it; a newer program migrates at start", OFF),
    }
    no_effect: ClassVar = {
        "max_open_conns": "SQLite is opened as its one writer needs it",
        "max_idle_conns": "SQLite is opened as its one writer needs it",
        "conn_max_lifetime": "SQLite is opened as its one writer needs it",
    }

    database_type: DatabaseType
    connection_string: Annotated[Path, BeforeValidator(_sqlite_file)]


def _postgres_string(value: Any) -> Any:
    """Return the text; what is wrong with it is said without quoting it: it has a password."""
    # Loading the driver is for those who need it.
    from finial.server.datastore.postgres import PostgresTarget  # noqa: PLC0415

    text = value.reveal() if isinstance(value, Secret) else value
    if isinstance(text, str) and text:
        try:
            PostgresTarget.of(text)
        except StoreUnusable as error:
            message, _, way_out = str(error).partition(": ")
            message = message.removeprefix("the connection_string ")
            raise FieldError(message, way_out) from None
    return value


def _connections(value: Any) -> int:
    """Return the most connections, 0 for as many as are wanted: so Go's database/sql has it."""
    number = max(0, whole(value, -_MOST_CONNECTIONS, _MOST_CONNECTIONS, "a number"))
    if 0 < number < _NO_FEWER:
        raise FieldError(
            f"must be {_NO_FEWER} or more, not {number}",
            "a server writes, records, reads and listens on a connection each",
        )
    return number


def _file(value: Any) -> Any:
    return None if value == "" else value


OptionalFile = Annotated[FilePath | None, BeforeValidator(_file)]


class PostgresDataStore(SqlDataStore):
    """A database that several servers may share."""

    unserved: ClassVar = {
        "disable_migration": Unserved(
            "remove it; the first of the newer servers migrates at start, the others wait", OFF
        ),
    }
    no_effect: ClassVar = {
        "ro_connection_string": (
            "reads are answered from memory, and the rest must not be older than writes"
        ),
        "max_idle_conns": "the few connections that there are stay open",
        "conn_max_lifetime": "connections are kept, and made anew when they are lost",
    }

    database_type: DatabaseType
    connection_string: Annotated[SecretText, BeforeValidator(_postgres_string)]
    max_open_conns: Annotated[int, BeforeValidator(_connections)] = 0
    root_ca_path: OptionalFile = None
    client_cert_path: OptionalFile = None
    client_key_path: OptionalFile = None
