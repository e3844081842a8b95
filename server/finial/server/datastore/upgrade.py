"""Bringing a database to the schema of this program, or refusing it untouched.

The check is two plain SELECTs. A new database gets the schema in one go; Alembic, which takes a
tenth of a second to import, is loaded only for a database that is older than the program. A test
holds the two ways to the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, inspect, select

from finial.server.datastore.errors import NewerSchema
from finial.server.datastore.schema import HEAD, KNOWN, metadata, version

if TYPE_CHECKING:
    from sqlalchemy import Connection


def bring_up(connection: Connection, path: str) -> None:
    """Make the schema, or migrate to it, inside the caller's transaction.

    Raises:
        NewerSchema: the database's version is unknown to this program.
    """
    if not inspect(connection).has_table(version.name):
        metadata.create_all(connection, checkfirst=False)
        connection.execute(insert(version).values(version_num=HEAD))
        return
    found = connection.execute(select(version.c.version_num)).scalar()
    if found == HEAD:
        return
    if found is not None and found not in KNOWN:
        raise NewerSchema(path, found, HEAD)
    from finial.server.datastore.migrations import migrate  # noqa: PLC0415  (heavy, rare)

    migrate(connection)
