"""The trust domain's own bundle, as its authorities are published in it.

It is the union of what all servers of the trust domain publish: each adds and removes its own.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from finial.server.authority.rotator import KEPT_AFTER_EXPIRY
from finial.server.datastore.bundles import BundleStore
from finial.server.registry.feed import FeedReader
from finial.server.signer.model import AuthorityKind
from finial.spiffe.bundle import Bundle, JwtAuthority, WitAuthority, X509Authority
from finial.spiffe.trust_domain import TrustDomain


class OtherServers(Protocol):
    """What is needed to know of the servers that share the database."""

    async def held(self) -> Collection[str]:
        """The IDs of the authorities that they have."""
        ...


class PublishedAuthorities:
    """What the authority manager publishes through; durable, and served by us, on return."""

    def __init__(
        self, own: TrustDomain, store: BundleStore, reader: FeedReader, others: OtherServers
    ) -> None:
        self._own = own
        self._store = store
        self._reader = reader
        self._others = others

    async def append(
        self,
        x509: Sequence[X509Authority] = (),
        jwt: Sequence[JwtAuthority] = (),
        wit: Sequence[WitAuthority] = (),
    ) -> None:
        """Adds authorities; those that are in it already change nothing."""
        await self._store.append(self._own, x509, jwt, wit)
        await self._reader.caught_up()

    async def remove(
        self, x509: Sequence[str] = (), jwt: Sequence[str] = (), wit: Sequence[str] = ()
    ) -> None:
        """Takes authorities out, X.509 ones by subject key identifier in lower case hex.

        One that another server has as well, as after its data folder was copied, stays.
        """
        held = await self._others.held()
        gone = [[each for each in ids if each not in held] for ids in (x509, jwt, wit)]
        await self._store.remove(self._own, *gone)
        await self._reader.caught_up()

    async def taint(self, kind: AuthorityKind, authority_id: str) -> None:
        """Marks an authority as distrusted.

        Raises:
            RegistryError: it is not in the bundle, or marked already.
        """
        await self._store.taint(self._own, kind.value, authority_id)
        await self._reader.caught_up()

    async def revoke(self, kind: AuthorityKind, authority_id: str) -> None:
        """Takes a tainted authority out, whoever else may have it.

        Raises:
            RegistryError: it is not in the bundle, or not tainted.
        """
        await self._store.revoke(self._own, kind.value, authority_id)
        await self._reader.caught_up()

    async def prune(self, now: float) -> int:
        """Takes out what no server is left to take out: long expired authorities; tells how many.

        Raises:
            NotFound: nothing was published yet.
        """
        before = await self._store.get(self._own)
        after = await self._store.prune(self._own, now - KEPT_AFTER_EXPIRY)
        return max(0, _size(before) - _size(after))  # another server may add at the same time


def _size(bundle: Bundle | None) -> int:
    if bundle is None:
        return 0
    kinds = (bundle.x509_authorities, bundle.jwt_authorities, bundle.wit_authorities)
    return sum(len(each) for each in kinds)
