"""PostgreSQL 12 and newer: one database for several servers.

Here belong the connection string and what it may leak, connections that are bounded in time and
made anew when they are lost, the lock that puts writers in a row, and the watch for what other
servers commit. Statements belong in the stores; they are the same for every database. Loaded only
by a server that is configured for it.
"""

from finial.server.datastore.postgres.driver import PostgresDriver
from finial.server.datastore.postgres.target import PostgresTarget

__all__ = ["PostgresDriver", "PostgresTarget"]
