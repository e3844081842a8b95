"""The first look at a PostgreSQL database, which leaves no trace in one that is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from finial.server.datastore.errors import ForeignDatabase, SpireDatabase, StoreUnusable
from finial.server.datastore.schema import change_feed, version
from finial.server.datastore.upgrade import bring_up

if TYPE_CHECKING:
    from finial.server.datastore.postgres.session import PostgresSession

OLDEST = 120000
"""Server version number of PostgreSQL 12."""

_SPIRE_TABLE = "registered_entries"
_TABLES = b"SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_ENCODING = b"SELECT current_setting('server_encoding'), current_schema()"


def make_fit(session: PostgresSession, name: str) -> int:
    """Make or migrate the schema while no other server does; return the feed's last revision.

    Raises:
        StoreUnusable: the database is too old, another program's or a newer one's; nothing was
            written.
    """
    _refuse_unfit(session, name)
    silence, session.raw.silence = session.raw.silence, None  # a migration takes its time
    session.begin_alone()
    try:
        session.raw.execute(b"SET LOCAL statement_timeout = 0")
        _refuse_foreign({row[0] for row in session.raw.execute(_TABLES)}, name)
        bring_up(session.connection, name)
        latest = session.connection.execute(select(func.max(change_feed.c.revision))).scalar()
        session.commit()
    except BaseException:
        session.rollback()
        raise
    session.raw.silence = silence
    return latest or 0


def _refuse_unfit(session: PostgresSession, name: str) -> None:
    found = session.raw.info.server_version
    if found < OLDEST:
        raise StoreUnusable(
            f"database {name} is served by PostgreSQL {found // 10000}, which is too old: "
            f"upgrade it to {OLDEST // 10000} or newer"
        )
    encoding, schema = session.raw.execute(_ENCODING).fetchone() or ("", None)
    if encoding != "UTF8":
        raise StoreUnusable(
            f"database {name} has the encoding {encoding}: create one with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
    if schema is None:
        raise StoreUnusable(
            f"database {name} has no schema that this user may use: grant USAGE and CREATE on "
            "one, and set the user's search_path"
        )


def _refuse_foreign(tables: set[str], name: str) -> None:
    if _SPIRE_TABLE in tables:
        raise SpireDatabase(name)
    if tables and version.name not in tables:
        raise ForeignDatabase(name, min(tables))
