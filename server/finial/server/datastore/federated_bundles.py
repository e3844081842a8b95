"""The store of other trust domains' bundles, and what becomes of entries that federate with them.

Beside `BundleStore`, which keeps the same rows: here is what only other domains' bundles have.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select

from finial.server.datastore import entry_write
from finial.server.datastore.bundles import (
    KIND,
    SELECT_BUNDLES,
    bundle_of,
    find_bundle,
    find_held,
    write_bundle,
)
from finial.server.datastore.listing import page_of, paged
from finial.server.datastore.rows import entry_of
from finial.server.datastore.schema import bundles, entries, entry_federates
from finial.server.registry.errors import BundleExists, BundleInUse, NotFound, RegistryError
from finial.spiffe.federation import Outcome, Verdict, judge

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from finial.server.datastore.database import Database
    from finial.server.datastore.listing import Page
    from finial.server.datastore.transaction import Transaction
    from finial.server.registry.model import Entry
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.trust_domain import TrustDomain

_FEDERATING = select(*entries.c).where(
    entries.c.row.in_(
        select(entry_federates.c.entry_row).where(
            entry_federates.c.trust_domain == bindparam("of_name")
        )
    )
)
_DELETE = delete(bundles).where(bundles.c.trust_domain == bindparam("of_name"))
_ASIDE = (Verdict.UNCHANGED, Verdict.OUTDATED)


class Federating(Enum):
    """What a deletion does about entries that federate with the trust domain."""

    REFUSE = "refuse"
    """There may be none."""
    DELETE = "delete"
    """They go, too."""
    DISSOCIATE = "dissociate"
    """They stay, and federate with it no more."""


class FederatedBundles:
    """Other domains' bundles. Every method raises StoreError when the database refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, size: int, token: str) -> Page[Bundle]:
        """Return part of all bundles, the own one included, in the order of their first coming.

        Raises:
            InvalidPageToken: the token was not given out by a page.
        """
        statement = paged(SELECT_BUNDLES, bundles.c.row, size, token)

        def work(connection: Connection) -> Page[Bundle]:
            rows = connection.execute(statement).all()
            return page_of([bundle_of(row) for row in rows], [row[0] for row in rows], size)

        return await self._database.read(work)

    async def create(self, bundle: Bundle) -> Bundle:
        """Store the first bundle of a trust domain.

        Raises:
            BundleExists: it has one.
        """

        def work(transaction: Transaction) -> Bundle:
            if find_bundle(transaction.connection, bundle.trust_domain) is not None:
                raise BundleExists
            return write_bundle(transaction, bundle)

        return await self._database.write(work)

    async def update(self, bundle: Bundle, fields: frozenset[str]) -> Bundle:
        """Overwrite the named fields (names of Bundle) of a stored bundle; return it whole.

        Raises:
            NotFound: there is none.
        """

        def work(transaction: Transaction) -> Bundle:
            old = find_held(transaction.connection, bundle.trust_domain)
            if old is None:
                raise NotFound("bundle")
            new = replace(old.bundle, **{name: getattr(bundle, name) for name in fields})
            if new == old.bundle and old.is_local:
                return new
            return write_bundle(transaction, new)

        return await self._database.write(work)

    async def take(self, fetched: Bundle) -> Outcome:
        """Store what the domain's endpoint served, unless what is stored is the same or newer.

        Judged in the transaction: of several servers that fetch, none puts an older bundle over
        a newer one (SPIFFE Federation section 4.2).
        """

        def work(transaction: Transaction) -> Outcome:
            held = find_held(transaction.connection, fetched.trust_domain)
            outcome = judge(fetched, held)
            confirmed = outcome.verdict is Verdict.UNCHANGED and held is not None and held.is_local
            if outcome.verdict not in _ASIDE or confirmed:
                write_bundle(transaction, outcome.held.bundle, fetched=True)
            return outcome

        return await self._database.write(work)

    async def delete(self, trust_domain: TrustDomain, federating: Federating) -> None:
        """Remove a bundle.

        Raises:
            NotFound: there is none.
            BundleInUse: entries federate with it, and `federating` is REFUSE.
        """

        def work(transaction: Transaction) -> None:
            if find_bundle(transaction.connection, trust_domain) is None:
                raise NotFound("bundle")
            name = trust_domain.name
            rows = transaction.execute(_FEDERATING, {"of_name": name})
            concerned = [entry_of(row) for row in rows]
            if concerned and federating is Federating.REFUSE:
                raise BundleInUse(len(concerned))
            if federating is Federating.DELETE:
                entry_write.remove(transaction, concerned)
            elif concerned:
                _dissociate(transaction, concerned, name)
            transaction.execute(_DELETE, {"of_name": name})
            transaction.change(KIND, name)

        return await self._database.write(work)


def _dissociate(transaction: Transaction, concerned: list[Entry], name: str) -> None:
    """Take the domain out of the entries' sets; each is another revision of its entry."""
    kept = [
        replace(entry, federates_with=tuple(n for n in entry.federates_with if n != name))
        for entry in concerned
    ]
    mask = frozenset({"federates_with"})
    for outcome in entry_write.modify(transaction, [(entry, mask) for entry in kept]):
        if isinstance(outcome, RegistryError):
            raise outcome
