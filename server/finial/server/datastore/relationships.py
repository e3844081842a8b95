"""The store of federation relationships: where the bundles of other trust domains are fetched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, insert, select, update

from finial.server.datastore.bundles import find_bundle, set_bundle
from finial.server.datastore.listing import page_of, paged
from finial.server.datastore.schema import federation_relationships as table
from finial.server.registry.errors import NotFound, RelationshipExists
from finial.spiffe.federation import BundleUrl, Profile, Relationship
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from finial.server.datastore.database import Database
    from finial.server.datastore.listing import Page
    from finial.server.datastore.rows import Decode
    from finial.server.datastore.transaction import Transaction
    from finial.spiffe.bundle import Bundle

KIND = "relationship"

FIELDS = frozenset({"url", "profile"})
"""What an update can change; the endpoint's SPIFFE ID goes with the profile."""

_ALL = select(*table.c)
_ONE = _ALL.where(table.c.trust_domain == bindparam("of_name"))
_MANY = _ALL.where(table.c.trust_domain.in_(bindparam("wanted", expanding=True)))
_WRITTEN = ("bundle_endpoint_url", "profile", "endpoint_spiffe_id")
_UPDATE = (
    update(table)
    .where(table.c.trust_domain == bindparam("of_name"))
    .values({name: bindparam(name) for name in _WRITTEN})
)
_DELETE = delete(table).where(table.c.trust_domain == bindparam("of_name"))


@dataclass(frozen=True, slots=True)
class Federated:
    """A relationship, and the bundle that is stored of its trust domain."""

    relationship: Relationship
    bundle: Bundle | None = None


class RelationshipStore:
    """Relationships by trust domain. Every method raises StoreError when the database refuses.

    A bundle that comes with a relationship is stored in the same transaction, as an operator's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, trust_domain: TrustDomain) -> Federated | None:
        """Return the relationship with a trust domain."""

        def work(connection: Connection) -> Federated | None:
            found = _find(connection, trust_domain)
            return None if found is None else _with_bundle(connection, found)

        return await self._database.read(work)

    async def page(self, size: int, token: str) -> Page[Federated]:
        """Return part of the relationships in the order of their creation.

        Raises:
            InvalidPageToken: the token was not given out by a page.
        """
        statement = paged(_ALL, table.c.row, size, token)

        def work(connection: Connection) -> Page[Federated]:
            rows = connection.execute(statement).all()
            items = [_with_bundle(connection, relationship_of(row)) for row in rows]
            return page_of(items, [row[0] for row in rows], size)

        return await self._database.read(work)

    async def create(self, wanted: Federated) -> Federated:
        """Store a new relationship; return it with the bundle that came with it, if one did.

        Raises:
            RelationshipExists: there is one with that trust domain.
        """
        trust_domain = wanted.relationship.trust_domain

        def work(transaction: Transaction) -> Federated:
            if _find(transaction.connection, trust_domain) is not None:
                raise RelationshipExists(trust_domain.name)
            if wanted.bundle is not None:
                set_bundle(transaction, wanted.bundle)
            revision = transaction.change(KIND, trust_domain.name)
            row = {**_columns(wanted.relationship), "row": revision}
            transaction.execute(insert(table), {**row, "trust_domain": trust_domain.name})
            return wanted

        return await self._database.write(work)

    async def update(self, wanted: Federated, fields: frozenset[str] = FIELDS) -> Federated:
        """Overwrite the named fields, and the bundle if one is given; return what is stored then.

        Raises:
            NotFound: there is no relationship with that trust domain.
        """
        trust_domain = wanted.relationship.trust_domain

        def work(transaction: Transaction) -> Federated:
            old = _find(transaction.connection, trust_domain)
            if old is None:
                raise NotFound("relationship")
            if wanted.bundle is not None:
                set_bundle(transaction, wanted.bundle)
            new = _merged(old, wanted.relationship, fields)
            if new != old:
                transaction.change(KIND, trust_domain.name)
                transaction.execute(_UPDATE, {**_columns(new), "of_name": trust_domain.name})
            return _with_bundle(transaction.connection, new)

        return await self._database.write(work)

    async def delete(self, trust_domain: TrustDomain) -> None:
        """Remove a relationship; the bundle stays.

        Raises:
            NotFound: there is no relationship with that trust domain.
        """

        def work(transaction: Transaction) -> None:
            if not transaction.execute(_DELETE, {"of_name": trust_domain.name}).rowcount:
                raise NotFound("relationship")
            transaction.change(KIND, trust_domain.name)

        return await self._database.write(work)


def find_relationships(
    connection: Connection, decode: Decode[Relationship] | None = None
) -> list[Relationship]:
    """Return every relationship in the order of creation, but for those `decode` finds none in."""
    decode = decode or relationship_of
    rows = connection.execute(_ALL.order_by(table.c.row))
    return [found for row in rows if (found := decode(row)) is not None]


def find_named(connection: Connection, names: Sequence[str]) -> list[Relationship]:
    """Return those of the relationships that there are."""
    return [relationship_of(row) for row in connection.execute(_MANY, {"wanted": names})]


def relationship_of(row: Sequence[Any]) -> Relationship:
    """Return the relationship of a row of `schema.federation_relationships`."""
    _, name, url, profile, endpoint_id = row
    return Relationship(
        TrustDomain(name),
        BundleUrl(url),
        Profile(profile),
        SpiffeId(endpoint_id) if endpoint_id else None,
    )


def _find(connection: Connection, trust_domain: TrustDomain) -> Relationship | None:
    row = connection.execute(_ONE, {"of_name": trust_domain.name}).first()
    return None if row is None else relationship_of(row)


def _with_bundle(connection: Connection, relationship: Relationship) -> Federated:
    return Federated(relationship, find_bundle(connection, relationship.trust_domain))


def _merged(old: Relationship, new: Relationship, fields: frozenset[str]) -> Relationship:
    merged = replace(old, url=new.url) if "url" in fields else old
    if "profile" in fields:
        merged = replace(merged, profile=new.profile, endpoint_id=new.endpoint_id)
    return merged


def _columns(relationship: Relationship) -> dict[str, str]:
    endpoint_id = relationship.endpoint_id
    return {
        "bundle_endpoint_url": relationship.url.text,
        "profile": relationship.profile.value,
        "endpoint_spiffe_id": endpoint_id.uri if endpoint_id is not None else "",
    }
