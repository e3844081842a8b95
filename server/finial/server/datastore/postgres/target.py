"""Which PostgreSQL database is meant, read without giving a password away.

libpq quotes what it cannot parse, and takes whatever follows an unescaped `@`, `/` or space in a
password for a host, a path or a keyword. So its complaints about the text are never passed on, and
a URL in which it could misplace a part of the password is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from finial.runtime.secret import REDACTED, Secret
from finial.server.datastore.errors import StoreUnusable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMES = ("postgres://", "postgresql://")
FEWEST_CONNECTIONS = 4
"""A writer, a recorder of issued SVIDs, a watcher, and a reader."""

_MOST_READERS = 4
_SECRETS = ("password", "sslpassword", "oauth_client_secret")
_SHORTEST_SCRUBBED = 4
"""Characters: the text of an error is not searched for less, which would maim it."""

_LONGEST_CONNECT = 30
_DEFAULTS = {
    # Whoever cannot be reached is given up on in seconds, also when packets vanish.
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    # Of several hosts the one that takes writes, whichever it is by now.
    "target_session_attrs": "read-write",
    # libpq's own default would go on in the clear if TLS failed; SPIRE's driver has this one too.
    "sslmode": "require",
    "gssencmode": "disable",
    "application_name": "finial-server",
    "client_encoding": "UTF8",
}


@dataclass(frozen=True, slots=True)
class PostgresTarget:
    """A database, as libpq is told of it. Made by `of`; prints without the password.

    `name` is what errors and logs call it: user, hosts and database.
    """

    conninfo: Secret
    name: str
    readers: int = _MOST_READERS
    _secrets: tuple[Secret, ...] = field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        connection_string: str,
        *,
        max_connections: int = 0,
        root_ca: Path | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
    ) -> Self:
        """Read a connection string of keywords or a URL; the files are PEM. 0 means no limit.

        Raises:
            StoreUnusable: it cannot be read. The text does not quote it.
        """
        given = _parse(connection_string)
        files = {"sslrootcert": root_ca, "sslcert": client_cert, "sslkey": client_key}
        given |= {key: str(path) for key, path in files.items() if path is not None}
        if root_ca is not None:
            given.setdefault("sslmode", "verify-full")
        if not 0 < _number(given.get("connect_timeout")) <= _LONGEST_CONNECT:
            given.pop("connect_timeout", None)  # 0 would wait for as long as the kernel does
        if 0 < max_connections < FEWEST_CONNECTIONS:
            raise StoreUnusable(
                f"a server needs {FEWEST_CONNECTIONS} connections to PostgreSQL, not "
                f"{max_connections}: raise max_open_conns, or leave it out"
            )
        spare = max_connections - FEWEST_CONNECTIONS + 1 if max_connections else _MOST_READERS
        return cls(
            Secret(make_conninfo("", **(_DEFAULTS | given))),
            _name(given),
            min(_MOST_READERS, spare),
            tuple(Secret(given[key]) for key in _SECRETS if given.get(key)),
        )

    def scrub(self, text: str) -> str:
        """Return a text without the password, should it ever be in one."""
        for secret in self._secrets:
            value = secret.reveal()
            if len(value) >= _SHORTEST_SCRUBBED:
                text = text.replace(value, REDACTED)
        return text


def _parse(text: str) -> dict[str, str]:
    if text.startswith(SCHEMES):
        _refuse_ambiguous(text)
    try:
        found = conninfo_to_dict(text)
    except (ProgrammingError, UnicodeError):
        raise StoreUnusable(
            "the connection_string cannot be read: write host=… port=… user=… password=… dbname=… "
            "with values that hold spaces in single quotes, or postgres://user@host:port/database"
        ) from None
    if "\0" in text:
        raise StoreUnusable("the connection_string cannot be read: it holds a NUL character")
    return {key: str(value) for key, value in found.items() if value is not None}


def _refuse_ambiguous(url: str) -> None:
    """Refuse a URL whose password would be cut in two, of which one part is taken for a host."""
    user_info, at, _ = url.partition("://")[2].rpartition("@")
    if at and any(character in user_info for character in "@/?#[] "):
        raise StoreUnusable(
            "the connection_string is ambiguous: in a postgres:// URL write @ / ? # [ ] and spaces "
            "of the user, the password and options as %40 %2F %3F %23 %5B %5D %20"
        )


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else 0


def _name(given: Mapping[str, str]) -> str:
    hosts = (given.get("host") or given.get("hostaddr") or "localhost").split(",")
    ports = (given.get("port") or "5432").split(",")
    if len(ports) < len(hosts):
        ports = [ports[0]] * len(hosts)
    where = ",".join(f"{host}:{port}" for host, port in zip(hosts, ports, strict=False))
    user = given.get("user")
    return f"postgres://{user + '@' if user else ''}{where}/{given.get('dbname') or user or ''}"
