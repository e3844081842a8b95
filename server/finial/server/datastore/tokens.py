"""The store of join tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, insert, select

from finial.server.datastore import entry_write
from finial.server.datastore.entries import random_id
from finial.server.datastore.schema import join_tokens
from finial.server.registry.errors import RegistryError, TokenExists
from finial.server.registry.model import JoinToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.server.datastore.database import Database
    from finial.server.datastore.transaction import Transaction
    from finial.server.registry.model import Entry

_INSERT = insert(join_tokens)
_FIND = select(join_tokens.c.expires_at).where(join_tokens.c.token == bindparam("wanted"))
_DELETE = delete(join_tokens).where(join_tokens.c.token == bindparam("wanted"))


class TokenStore:
    """Join tokens by value. Every method raises StoreError when the database refuses."""

    def __init__(self, database: Database, new_id: Callable[[], str] = random_id) -> None:
        self._database = database
        self._new_id = new_id

    async def create(self, token: JoinToken, alias: Entry | None = None) -> Entry | None:
        """Store a token, and with it the entry that gives the agent to come its other name.

        Both are stored or neither. Returns the alias entry as stored.

        Raises:
            TokenExists: a token of that value is stored.
            RegistryError: the alias entry is refused, as by EntryStore.create_many.
        """

        def work(transaction: Transaction) -> Entry | None:
            if transaction.execute(_FIND, {"wanted": token.value}).first() is not None:
                raise TokenExists
            transaction.execute(_INSERT, {"token": token.value, "expires_at": token.expires_at})
            if alias is None:
                return None
            (outcome,) = entry_write.create(transaction, [alias], self._new_id)
            if isinstance(outcome, RegistryError):
                raise outcome
            return outcome

        return await self._database.write(work)

    async def consume(self, token: str, now: float) -> JoinToken | None:  # noqa: ARG002
        """Take a token out for good and return it; None if there is no such token (any more).

        Of any number of attempts at once exactly one gets it. An expired token is consumed too,
        and returned, so that the caller can tell its sender that it came too late (`now` is the
        caller's to compare).
        """

        def work(transaction: Transaction) -> JoinToken | None:
            expires_at = transaction.execute(_FIND, {"wanted": token}).scalar()
            if expires_at is None:
                return None
            # What counts is who deletes it: of two servers that have found it, one does.
            if not transaction.execute(_DELETE, {"wanted": token}).rowcount:
                return None
            return JoinToken(token, expires_at)

        return await self._database.write(work)

    async def prune_expired(self, now: float) -> int:
        """Delete tokens whose `expires_at` has passed; return how many."""
        statement = delete(join_tokens).where(join_tokens.c.expires_at < int(now))
        return await self._database.write(lambda t: t.execute(statement).rowcount)
