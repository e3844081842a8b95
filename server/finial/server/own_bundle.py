"""The trust domain's own bundle, as its authorities are published in it."""

from collections.abc import Sequence

from finial.server.datastore.bundles import BundleStore
from finial.server.registry.feed import FeedReader
from finial.spiffe.bundle import JwtAuthority, WitAuthority, X509Authority
from finial.spiffe.trust_domain import TrustDomain


class PublishedAuthorities:
    """What the authority manager publishes through; durable, and served by us, on return."""

    def __init__(self, own: TrustDomain, store: BundleStore, reader: FeedReader) -> None:
        self._own = own
        self._store = store
        self._reader = reader

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
        """Takes authorities out, X.509 ones by subject key identifier in lower case hex."""
        await self._store.remove(self._own, x509, jwt, wit)
        await self._reader.caught_up()
