"""A fetcher, and bundle endpoints on loopback for it to ask."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from finial.runtime.rpc import TlsIdentity
from finial.server.federation.addresses import AddressPolicy
from finial.server.federation.fetcher import BundleFetcher, FetchError
from finial.spiffe.federation import Relationship
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock
from tests.fakes.web_peer import FakeResolver, LyingPeer, document
from tests.fakes.web_pki import WebPki

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from finial.spiffe.bundle import BundleSource
    from finial.spiffe.federation import FetchedBundle

HOST = "bundles.other.test"
ENDPOINT_ID = "spiffe://other.test/spire/server"
LOOPBACK = ip_address("127.0.0.1")


class FederationLab:
    """`other.test` serves its bundle at HOST; its resolver says that this is loopback."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pki = WebPki()
        monkeypatch.setenv("SSL_CERT_FILE", str(self.pki.trusted(folder)))
        self.clock = FakeClock()
        self.other = FakeCa("other.test")
        self.resolver = FakeResolver([LOOPBACK])

    def document(self) -> bytes:
        return document(self.other.bundle().to_jwks(), "Content-Type: application/json")

    def web_peer(self, *names: str, answer: bytes | None = None) -> LyingPeer:
        """A peer with a certificate for these names, HOST by default."""
        identity = self.pki.issue(*(names or (HOST,)))
        return LyingPeer(identity, self.document() if answer is None else answer)

    def spiffe_peer(
        self, spiffe_id: str = ENDPOINT_ID, *, ca: FakeCa | None = None, answer: bytes | None = None
    ) -> LyingPeer:
        """A peer with an X509-SVID."""
        svid = (ca or self.other).issue(spiffe_id)
        identity = TlsIdentity(svid.chain, svid.key_pkcs8)
        return LyingPeer(identity, self.document() if answer is None else answer)

    def fetcher(
        self,
        *,
        allowed: Sequence[str] = ("127.0.0.0/8",),
        denied: Sequence[str] = (),
        follow_redirects: bool = False,
    ) -> BundleFetcher:
        return BundleFetcher(
            clock=self.clock,
            addresses=AddressPolicy.of(allowed, denied),
            follow_redirects=follow_redirects,
            resolver=self.resolver,
        )

    async def fetch(
        self,
        relationship: Relationship,
        bundles: BundleSource | None = None,
        fetcher: BundleFetcher | None = None,
    ) -> FetchedBundle:
        held = self.other.bundles() if bundles is None else bundles
        return await (fetcher or self.fetcher()).fetch(relationship, held)

    async def complaint(
        self,
        relationship: Relationship,
        bundles: BundleSource | None = None,
        fetcher: BundleFetcher | None = None,
    ) -> str:
        """What the fetch fails with."""
        try:
            await self.fetch(relationship, bundles, fetcher)
        except FetchError as error:
            return str(error)
        raise AssertionError("it was fetched")


def web(port: int, host: str = HOST) -> Relationship:
    """With the endpoint at a port, by https_web."""
    return Relationship.parse(
        trust_domain="other.test", url=f"https://{host}:{port}/", profile="https_web"
    )


def spiffe(port: int, endpoint_id: str = ENDPOINT_ID) -> Relationship:
    """The same by https_spiffe."""
    return Relationship.parse(
        trust_domain="other.test",
        url=f"https://{HOST}:{port}/",
        profile="https_spiffe",
        endpoint_id=endpoint_id,
    )
