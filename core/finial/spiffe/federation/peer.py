"""Who must answer at a bundle endpoint (SPIFFE Federation sections 5.2.1.4 and 5.2.2.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from finial.spiffe.errors import FederationError, X509SvidError
from finial.spiffe.x509_svid import verify_chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.spiffe.bundle import Bundle, BundleSource
    from finial.spiffe.spiffe_id import SpiffeId
    from finial.spiffe.x509_svid import VerifiedX509Svid


@dataclass(frozen=True, slots=True)
class WebPeer:
    """A server with a certificate for this host by a CA of the Web PKI (FED-22).

    Attributes:
        host: DNS name or IP address, to be matched by RFC 6125.
    """

    host: str


@dataclass(frozen=True, slots=True)
class SpiffePeer:
    """A server with an X509-SVID of exactly this ID; its host's name does not matter (FED-30).

    Attributes:
        id: the SPIFFE ID.
        is_self_serving: whether it serves its own trust domain's bundle.
    """

    id: SpiffeId
    is_self_serving: bool

    def trusted_bundle(self, bundles: BundleSource) -> Bundle:
        """The bundle that the peer's chain must lead to: the latest of its trust domain (FED-31).

        Raises:
            FederationError: none is known: an operator has not given the first one of a
                self-serving endpoint (FED-27), or not federated with the trust domain of another
                (FED-28).
        """
        trust_domain = self.id.trust_domain
        bundle = bundles.bundle_for(trust_domain)
        if bundle is not None:
            return bundle
        if self.is_self_serving:
            raise FederationError(
                f'no bundle of "{trust_domain}" to begin with: its endpoint serves itself, so give '
                "the first one by hand"
            )
        raise FederationError(
            f'no bundle of "{trust_domain}", in which the endpoint lies: federate with that, too'
        )


Peer = WebPeer | SpiffePeer


def authenticate(
    peer: SpiffePeer, chain_der: Sequence[bytes], bundles: BundleSource, now: float
) -> VerifiedX509Svid:
    """Decide whether a chain is that of the peer.

    Args:
        peer: who must answer.
        chain_der: the certificates presented, DER, leaf first.
        bundles: the latest bundles known, as they are now (FED-31).
        now: Unix seconds.

    Raises:
        FederationError: the peer's bundle is not known, the chain proves no SPIFFE ID, or another.
    """
    trusted = peer.trusted_bundle(bundles)
    try:
        verified = verify_chain(chain_der, trusted, now)
    except X509SvidError as error:
        raise FederationError(f"bundle endpoint is not {peer.id}: {error}") from None
    if verified.id != peer.id:  # FED-30
        raise FederationError(f"bundle endpoint is not {peer.id} but {verified.id}")
    return verified
