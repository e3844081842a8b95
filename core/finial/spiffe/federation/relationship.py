"""What a federation relationship is made of (SPIFFE Federation sections 5.1 and 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self

from finial.spiffe.bundle import Bundle
from finial.spiffe.errors import FederationError
from finial.spiffe.federation.bundle_url import BundleUrl
from finial.spiffe.federation.peer import Peer, SpiffePeer, WebPeer
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain


class Profile(Enum):
    """How a bundle endpoint is authenticated; the value is the standard's name (FED-08)."""

    HTTPS_WEB = "https_web"
    HTTPS_SPIFFE = "https_spiffe"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a profile's name; there is no default, neither to serve nor to fetch (FED-09, -11).

        Raises:
            FederationError: it is neither.
        """
        try:
            return cls(text)
        except ValueError:
            raise FederationError(
                "bundle endpoint profile must be https_web or https_spiffe"
            ) from None


@dataclass(frozen=True, slots=True)
class Relationship:
    """Where another trust domain's bundle is fetched, and who serves it; valid if it exists.

    None of it can be had from another part of it: whoever can serve a file at a URL would otherwise
    speak for a trust domain of that name (section 7.2).

    Attributes:
        trust_domain: whose bundle it is that the endpoint serves.
        url: where.
        profile: how the endpoint is authenticated.
        endpoint_id: the SPIFFE ID of the endpoint's X509-SVID, with https_spiffe; else None.

    Raises:
        FederationError: https_spiffe without a SPIFFE ID (FED-26) or with one that has no path,
            https_web with one.
    """

    trust_domain: TrustDomain
    url: BundleUrl
    profile: Profile
    endpoint_id: SpiffeId | None = None

    def __post_init__(self) -> None:
        if self.profile is Profile.HTTPS_WEB:
            if self.endpoint_id is not None:
                raise FederationError("an https_web endpoint has no SPIFFE ID")
        elif self.endpoint_id is None:
            raise FederationError("an https_spiffe endpoint needs its SPIFFE ID")  # FED-26
        elif not self.endpoint_id.path:
            raise FederationError("a trust domain's own ID is no endpoint's")

    @classmethod
    def parse(cls, *, trust_domain: str, url: str, profile: str, endpoint_id: str = "") -> Self:
        """Read a relationship as configurations have it; all but `endpoint_id` must be said.

        Raises:
            SpiffeError: a part is missing or malformed; a SpiffeIdError for a name or an ID, else a
                FederationError.
        """
        return cls(
            TrustDomain.parse(trust_domain),  # FED-11
            BundleUrl(url),
            Profile.parse(profile),
            SpiffeId(endpoint_id) if endpoint_id else None,
        )

    @property
    def is_self_serving(self) -> bool:
        """Whether the endpoint proves itself by the very bundle that it serves (5.2.2.2)."""
        return self.endpoint_id is not None and self.endpoint_id.trust_domain == self.trust_domain

    def peer_at(self, url: BundleUrl) -> Peer:
        """Who must answer at a URL, be it the endpoint's own or one it redirects to (FED-24)."""
        if self.endpoint_id is None:
            return WebPeer(url.host)
        return SpiffePeer(self.endpoint_id, is_self_serving=self.is_self_serving)

    def initial_bundle(self, data: bytes) -> Bundle:
        """Read the bundle that an operator gives to begin with: SPIFFE format or PEM (FED-27).

        Raises:
            BundleError: it is neither.
        """
        if data.lstrip().startswith(b"{"):
            return Bundle.from_jwks(self.trust_domain, data)
        return Bundle.from_pem(self.trust_domain, data)
