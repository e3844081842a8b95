"""The store of bundles: this trust domain's own and those of others."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import bindparam, func, insert, select, update

from finial.server.datastore.authority_marks import revoked, tainted
from finial.server.datastore.schema import bundles
from finial.server.registry.errors import KeyIdTaken, NotFound
from finial.spiffe.bundle import Bundle, JwtAuthority, WitAuthority, X509Authority
from finial.spiffe.federation import Held
from finial.spiffe.trust_domain import TrustDomain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from finial.server.datastore.database import Database
    from finial.server.datastore.rows import Decode
    from finial.server.datastore.transaction import Transaction

KIND = "bundle"

_WRAP = 1 << 64

K = TypeVar("K", JwtAuthority, WitAuthority)

SELECT_BUNDLES = select(
    bundles.c.row,
    bundles.c.trust_domain,
    bundles.c.sequence,
    bundles.c.refresh_hint,
    bundles.c.authorities,
)
_ONE = SELECT_BUNDLES.where(bundles.c.trust_domain == bindparam("of_name"))
_UPDATE = (
    update(bundles)
    .where(bundles.c.trust_domain == bindparam("of_name"))
    .values({name: bindparam(name) for name in ("sequence", "refresh_hint", "authorities")})
)


class BundleStore:
    """Bundles by trust domain. Every method raises StoreError when the database refuses.

    The store counts the sequence number of the bundles that it changes itself: 1 with the first
    authority, one more with every change of content.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, trust_domain: TrustDomain) -> Bundle | None:
        """Return the bundle of a trust domain."""
        return await self._database.read(lambda connection: find_bundle(connection, trust_domain))

    async def list(self) -> list[Bundle]:
        """Return every bundle in the order in which the domains became known."""
        return await self._database.read(find_bundles)

    async def count(self) -> int:
        """Return how many bundles are stored, the own one included."""
        statement = select(func.count()).select_from(bundles)
        return await self._database.read(lambda c: int(c.execute(statement).scalar_one()))

    async def put(self, bundle: Bundle) -> Bundle:
        """Store a bundle in place of the one that its trust domain has, as it is."""
        return await self._database.write(lambda transaction: set_bundle(transaction, bundle))

    async def append(
        self,
        trust_domain: TrustDomain,
        x509_authorities: Sequence[X509Authority] = (),
        jwt_authorities: Sequence[JwtAuthority] = (),
        wit_authorities: Sequence[WitAuthority] = (),
    ) -> Bundle:
        """Add authorities that the bundle does not have yet; make the bundle if there is none.

        A certificate is known by its bytes, a key by its key ID.

        Raises:
            KeyIdTaken: a JWT and a WIT key would have the same ID.
        """

        def appended(old: Bundle) -> Bundle:
            certificates = {authority.der for authority in old.x509_authorities}
            _check_key_ids(old, jwt_authorities, wit_authorities)
            return replace(
                old,
                x509_authorities=(
                    *old.x509_authorities,
                    *(a for a in x509_authorities if a.der not in certificates),
                ),
                jwt_authorities=_with_keys(old.jwt_authorities, jwt_authorities),
                wit_authorities=_with_keys(old.wit_authorities, wit_authorities),
            )

        return await self._change(trust_domain, appended, make=True)

    async def publish(
        self, trust_domain: TrustDomain, authority: JwtAuthority | WitAuthority
    ) -> Bundle:
        """Add a key of another server of the trust domain; one that is there changes nothing.

        Raises:
            KeyIdTaken: another key has its ID, be it of this kind or not.
        """

        def published(old: Bundle) -> Bundle:
            jwt = (authority,) if isinstance(authority, JwtAuthority) else ()
            wit = (authority,) if isinstance(authority, WitAuthority) else ()
            _check_key_ids(old, jwt, wit)
            known = old.jwt_authorities if jwt else old.wit_authorities
            for each in known:
                if each.key_id == authority.key_id and each.spki_der != authority.spki_der:
                    raise KeyIdTaken(authority.key_id, "another key")
            return replace(
                old,
                jwt_authorities=_with_keys(old.jwt_authorities, jwt),
                wit_authorities=_with_keys(old.wit_authorities, wit),
            )

        return await self._change(trust_domain, published)

    async def prune(self, trust_domain: TrustDomain, before: float) -> Bundle:
        """Remove the authorities that expired before a time, but never the last X.509 one.

        Raises:
            NotFound: there is no such bundle.
        """

        def pruned(old: Bundle) -> Bundle:
            certificates = tuple(
                a for a in old.x509_authorities if a.cert.not_valid_after_utc.timestamp() >= before
            )
            return replace(
                old,
                x509_authorities=certificates or old.x509_authorities[-1:],
                jwt_authorities=tuple(
                    a for a in old.jwt_authorities if not a.expires_at or a.expires_at >= before
                ),
                wit_authorities=tuple(
                    a for a in old.wit_authorities if not a.expires_at or a.expires_at >= before
                ),
            )

        return await self._change(trust_domain, pruned)

    async def remove(
        self,
        trust_domain: TrustDomain,
        x509_ids: Sequence[str] = (),
        jwt_ids: Sequence[str] = (),
        wit_ids: Sequence[str] = (),
    ) -> Bundle:
        """Take authorities out: X.509 ones by authority ID, JWT and WIT ones by key ID.

        Raises:
            NotFound: there is no such bundle.
        """

        def without(old: Bundle) -> Bundle:
            return replace(
                old,
                x509_authorities=tuple(
                    a for a in old.x509_authorities if a.authority_id not in x509_ids
                ),
                jwt_authorities=tuple(a for a in old.jwt_authorities if a.key_id not in jwt_ids),
                wit_authorities=tuple(a for a in old.wit_authorities if a.key_id not in wit_ids),
            )

        return await self._change(trust_domain, without)

    async def taint(self, trust_domain: TrustDomain, kind: str, authority_id: str) -> Bundle:
        """Mark an authority as distrusted; `kind` is "x509", "jwt" or "wit".

        Raises:
            NotFound, AuthorityNotThere, AuthorityTainted: there is none to mark.
        """
        return await self._change(trust_domain, lambda old: tainted(old, kind, authority_id))

    async def revoke(self, trust_domain: TrustDomain, kind: str, authority_id: str) -> Bundle:
        """Take a tainted authority out; arguments as of `taint`.

        Raises:
            NotFound, AuthorityNotThere, AuthorityUntainted: there is none to take out.
        """
        return await self._change(trust_domain, lambda old: revoked(old, kind, authority_id))

    async def _change(
        self, trust_domain: TrustDomain, change: Callable[[Bundle], Bundle], *, make: bool = False
    ) -> Bundle:
        def work(transaction: Transaction) -> Bundle:
            old = find_bundle(transaction.connection, trust_domain)
            if old is None:
                if not make:
                    raise NotFound("bundle")
                old = Bundle(trust_domain)
            new = change(old)
            if new == old:
                return old
            return write_bundle(transaction, replace(new, sequence=old.sequence + 1))

        return await self._database.write(work)


def find_bundles(connection: Connection, decode: Decode[Bundle] | None = None) -> list[Bundle]:
    """Return every bundle in the order in which the domains became known.

    Those of which `decode` makes nothing are left out; without it, each has to be readable.
    """
    decode = decode or bundle_of
    rows = connection.execute(SELECT_BUNDLES.order_by(bundles.c.row))
    return [bundle for row in rows if (bundle := decode(row)) is not None]


def find_bundle(connection: Connection, trust_domain: TrustDomain) -> Bundle | None:
    """Return the bundle of a trust domain."""
    held = find_held(connection, trust_domain)
    return None if held is None else held.bundle


def find_held(connection: Connection, trust_domain: TrustDomain) -> Held | None:
    """Return the bundle of a trust domain, and whether it came from its endpoint."""
    row = connection.execute(_ONE, {"of_name": trust_domain.name}).first()
    if row is None:
        return None
    fetched = json.loads(row.authorities).get("fetched", False)
    return Held(bundle_of(row), is_local=not fetched)


def set_bundle(transaction: Transaction, bundle: Bundle) -> Bundle:
    """Store a bundle as an operator gives it, whatever the trust domain has had."""
    if find_held(transaction.connection, bundle.trust_domain) == Held(bundle, is_local=True):
        return bundle
    return write_bundle(transaction, bundle)


def write_bundle(transaction: Transaction, bundle: Bundle, *, fetched: bool = False) -> Bundle:
    """Store a bundle in place of what there is, and announce it."""
    name = bundle.trust_domain.name
    revision = transaction.change(KIND, name)
    values = {
        "sequence": _signed(bundle.sequence),
        "refresh_hint": _signed(bundle.refresh_hint),
        "authorities": _authorities_text(bundle, fetched=fetched),
    }
    if not transaction.execute(_UPDATE, {**values, "of_name": name}).rowcount:
        new = {**values, "row": revision, "trust_domain": name}
        transaction.execute(insert(bundles), new)
    return bundle


def _with_keys(old: tuple[K, ...], new: Sequence[K]) -> tuple[K, ...]:
    known = {authority.key_id for authority in old}
    return old + tuple(authority for authority in new if authority.key_id not in known)


def _check_key_ids(old: Bundle, jwt: Sequence[JwtAuthority], wit: Sequence[WitAuthority]) -> None:
    """No JWT and WIT key of a bundle share a key ID (WIT-SVID section 6.1).

    Only what is new is judged: a bundle of old that breaks the rule still takes other keys.
    """
    jwt_ids = {authority.key_id for authority in old.jwt_authorities}
    wit_ids = {authority.key_id for authority in old.wit_authorities}
    new_jwt = {authority.key_id for authority in jwt} - jwt_ids
    new_wit = {authority.key_id for authority in wit} - wit_ids
    taken = (new_jwt & (wit_ids | new_wit)) | (new_wit & jwt_ids)
    if taken:
        raise KeyIdTaken(min(taken))


def _authorities_text(bundle: Bundle, *, fetched: bool) -> str:
    return json.dumps(
        {
            **({"fetched": True} if fetched else {}),
            "x509": [
                {"der": _base64(a.der), "tainted": a.tainted} for a in bundle.x509_authorities
            ],
            "jwt": [_key_members(authority) for authority in bundle.jwt_authorities],
            "wit": [_key_members(authority) for authority in bundle.wit_authorities],
        }
    )


def _key_members(authority: JwtAuthority | WitAuthority) -> dict[str, Any]:
    return {
        "key_id": authority.key_id,
        "spki": _base64(authority.spki_der),
        "expires_at": authority.expires_at,
        "tainted": authority.tainted,
    }


def bundle_of(row: Sequence[Any]) -> Bundle:
    _, name, sequence, refresh_hint, text = row
    authorities = json.loads(text)
    return Bundle(
        TrustDomain(name),
        tuple(
            X509Authority.from_der(base64.b64decode(a["der"]), tainted=a["tainted"])
            for a in authorities["x509"]
        ),
        tuple(JwtAuthority.from_spki(**_key_arguments(a)) for a in authorities["jwt"]),
        tuple(WitAuthority.from_spki(**_key_arguments(a)) for a in authorities["wit"]),
        sequence % _WRAP,
        refresh_hint % _WRAP,
    )


def _signed(number: int) -> int:
    """Fold 64 bits without a sign, which a publisher may use, into the column's with one."""
    return number - _WRAP if number >= _WRAP // 2 else number


def _key_arguments(members: dict[str, Any]) -> dict[str, Any]:
    spki = base64.b64decode(members["spki"])
    return {
        "key_id": members["key_id"],
        "spki_der": spki,
        "expires_at": members["expires_at"],
        "tainted": members["tainted"],
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
