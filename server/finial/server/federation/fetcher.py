"""Fetching another trust domain's bundle, over HTTPS, from an address that may be asked.

Who must answer is for `finial.spiffe.federation`, and is certain before a byte of HTTP leaves. A
redirect is refused unless the operator has it followed: the endpoint's owner would otherwise choose
what this server connects to. Each fetch is one of its own, with its own deadline: a peer that is
dead or slow costs nobody but itself.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from finial.runtime.web import ClientLimits, Target, Trust, WebClient, WebError
from finial.runtime.web.tls import spiffe_context, web_context
from finial.spiffe.bundle.reading import MAX_DOCUMENT
from finial.spiffe.errors import SpiffeError
from finial.spiffe.federation import Fetch, FetchedBundle, WebPeer, authenticate

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from finial.runtime.clock import Clock
    from finial.runtime.web.resolve import Resolve
    from finial.server.federation.addresses import AddressPolicy
    from finial.spiffe.bundle import BundleSource
    from finial.spiffe.federation import Relationship, SpiffePeer
    from finial.spiffe.federation.peer import Peer

_LIMITS = ClientLimits()


class FetchError(Exception):
    """A bundle could not be fetched; the text says what failed, and may be logged."""


class BundleFetcher:
    """Asks bundle endpoints, as many at once as there are calls.

    Args:
        clock: judges certificates of https_spiffe, and bounds each fetch.
        addresses: which of an endpoint's addresses may be asked.
        follow_redirects: whether an endpoint may send the fetch on, at most five times; whoever
            answers there is judged as the endpoint is.
        limits: of one request.
        resolver: gives the addresses of a name; the system's when None.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        addresses: AddressPolicy,
        follow_redirects: bool = False,
        limits: ClientLimits = _LIMITS,
        resolver: Resolve | None = None,
    ) -> None:
        self._clock = clock
        self._addresses = addresses
        self._follow_redirects = follow_redirects
        self._client = WebClient(clock=clock, most=MAX_DOCUMENT, limits=limits, resolver=resolver)

    async def fetch(self, relationship: Relationship, bundles: BundleSource) -> FetchedBundle:
        """Return what the relationship's endpoint serves now.

        Args:
            relationship: whose bundle, where, and how the endpoint is authenticated.
            bundles: the latest bundles known, for an endpoint with an X509-SVID (FED-31).

        Raises:
            FetchError: it was not to be had, or is no bundle.
        """
        try:
            return await self._fetch(relationship, bundles)
        except (WebError, SpiffeError) as error:
            name = relationship.trust_domain
            text = f'cannot fetch the bundle of "{name}" from {relationship.url}: {error}'
            raise FetchError(text) from None

    async def _fetch(self, relationship: Relationship, bundles: BundleSource) -> FetchedBundle:
        step: Fetch | FetchedBundle = Fetch.of(relationship)
        while isinstance(step, Fetch):
            if step.redirects and not self._follow_redirects:
                raise WebError(
                    f"it redirects to {step.url}: name that URL, or set follow_redirects = true"
                )
            step = await self._ask(step, bundles)
        return step

    async def _ask(self, fetch: Fetch, bundles: BundleSource) -> Fetch | FetchedBundle:
        url = fetch.url
        trust = await self._trust(fetch.peer, bundles)
        target = Target(url.host, url.port, url.target)
        answer = await self._client.get(target, trust, self._addresses.complaint)
        location = answer.headers.get("location")
        # On a thread: a peer may send 4 MiB to be read.
        return await asyncio.to_thread(fetch.answered, answer.status, location, answer.body)

    async def _trust(self, peer: Peer, bundles: BundleSource) -> Trust:
        if isinstance(peer, WebPeer):
            # Made anew each time, on a thread: files are read, and may have changed.
            return Trust(await asyncio.to_thread(_web_context))
        bundle = peer.trusted_bundle(bundles)
        judge = partial(self._judge, peer, bundles)
        return Trust(spiffe_context(bundle), judge)

    def _judge(self, peer: SpiffePeer, bundles: BundleSource, chain: Sequence[bytes]) -> None:
        authenticate(peer, chain, bundles, self._clock.time())


def _web_context() -> ssl.SSLContext:
    try:
        return web_context()
    except OSError as error:
        raise WebError(f"the system's certificate authorities cannot be read: {error}") from None
