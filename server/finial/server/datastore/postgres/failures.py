"""What PostgreSQL's errors mean, by SQLSTATE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, PendingRollbackError, ResourceClosedError

from finial.server.datastore.errors import (
    DatabaseDamaged,
    StoreError,
    StoreFull,
    StoreSlow,
    StoreUnreachable,
    StoreUnusable,
)

if TYPE_CHECKING:
    from finial.server.datastore.postgres.target import PostgresTarget

ERRORS: tuple[type[Exception], ...] = (
    DBAPIError,
    InterfaceError,
    PendingRollbackError,
    ResourceClosedError,
    psycopg.Error,
)
"""What using a connection raises, whole or lost."""

READ_ONLY = "25006"
_FULL = {"53100", "54023"}
_DAMAGED = {"XX001", "XX002"}
# A refused connection comes without SQLSTATE; in another language there is the general advice.
_REFUSALS = {
    "server does not support SSL": "sslmode=disable would go on in the clear",
    "does not exist": "create it with CREATE DATABASE or CREATE ROLE",
    "authentication failed": "check the user and the password",
    "no pg_hba.conf entry": "let this server in there",
    "too many clients": "raise its max_connections",
}
_HELD = {
    "40001": "two transactions were in each other's way",
    "40P01": "two transactions were in each other's way",
    "55P03": "another server has been writing for too long",
    "57014": "a statement took too long",
    "25P03": "this server was too slow in the middle of a transaction",
}
_WAYS_OUT = {
    "42501": "GRANT the server's user CREATE on the schema, and all rights on the tables in it",
    "54000": "shorten the value, PostgreSQL cannot look up so long a one",
}


def reason_of(error: BaseException, target: PostgresTarget) -> str:
    """Return an error's first line, without the password."""
    cause = getattr(error, "orig", None) or error
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    text = primary or " ".join(str(cause).split()) or type(cause).__name__
    return target.scrub(text[:500])


def explain(error: Exception, target: PostgresTarget, *, lost: bool) -> StoreError:
    """Turn a driver's error into one that names the database and the way out.

    `lost` says that the connection is gone with it.
    """
    state = getattr(getattr(error, "orig", None) or error, "sqlstate", None) or ""
    reason, name = reason_of(error, target), target.name
    if state in _FULL:
        return StoreFull(name)
    if state in _HELD:
        return StoreSlow(name, _HELD[state])
    if state in _DAMAGED:
        return DatabaseDamaged(name, reason)
    way_out = _WAYS_OUT.get(state)
    if way_out is not None:
        return StoreUnusable(f"database {name} refuses: {reason}; {way_out}")
    if lost and not state:
        advice = next((text for said, text in _REFUSALS.items() if said in reason), "")
        return StoreUnreachable(name, f"{reason}; {advice}" if advice else reason)
    if lost or state == READ_ONLY or state.startswith(("08", "57P")):
        return StoreUnreachable(name, reason)
    return StoreError(f"database {name}: {reason}")
