"""One fetch of a bundle: where to ask, what to make of the answer (SPIFFE Federation section 5.2).

A fetch begins at the URL that was configured, each time (FED-25): where one was redirected to is
known to that fetch alone, and forgotten with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from finial.spiffe.bundle import Bundle
from finial.spiffe.errors import FederationError

if TYPE_CHECKING:
    from finial.spiffe.federation.bundle_url import BundleUrl
    from finial.spiffe.federation.peer import Peer
    from finial.spiffe.federation.relationship import Relationship

MAX_REDIRECTS = 5

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""All are taken as temporary, whatever they say (section 7.5.1)."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """A fetch under way.

    Attributes:
        relationship: whose bundle is fetched, and how the endpoint is authenticated.
        url: where to ask now.
        redirects: how many were followed to here.
    """

    relationship: Relationship
    url: BundleUrl
    redirects: int = 0

    @classmethod
    def of(cls, relationship: Relationship) -> Self:
        """Begin, at the configured URL (FED-25)."""
        return cls(relationship, relationship.url)

    @property
    def peer(self) -> Peer:
        """Who must answer here: nothing is sent before that is certain (FED-24)."""
        return self.relationship.peer_at(self.url)

    def answered(self, status: int, location: str | None, body: bytes) -> Self | FetchedBundle:
        """Take the answer to a GET: the bundle, or where to ask next.

        Args:
            status: of the HTTP response.
            location: its Location header, if it has one.
            body: its content.

        Raises:
            FederationError: a redirect that may not be followed (FED-23), too many of them, or
                another status than 200.
            BundleError: the content is no bundle.
        """
        if status in _REDIRECTS:
            return self._redirected(location)
        if status != 200:
            raise FederationError(f"bundle endpoint answered with status {status}, not 200")
        trust_domain = self.relationship.trust_domain  # FED-12: as configured, never from an answer
        return FetchedBundle(*Bundle.from_jwks_with_complaints(trust_domain, body))

    def _redirected(self, location: str | None) -> Self:
        if location is None:
            raise FederationError("bundle endpoint redirects to nowhere")
        if self.redirects == MAX_REDIRECTS:
            raise FederationError(f"bundle endpoint redirects more than {MAX_REDIRECTS} times")
        try:
            target = self.url.join(location)
        except FederationError as error:
            raise FederationError(f"redirect: {error}") from None
        return replace(self, url=target, redirects=self.redirects + 1)


@dataclass(frozen=True, slots=True)
class FetchedBundle:
    """What a fetch brought.

    Attributes:
        bundle: the bundle, of the relationship's trust domain.
        complaints: what was passed over in it, fit to be logged.
    """

    bundle: Bundle
    complaints: tuple[str, ...]
