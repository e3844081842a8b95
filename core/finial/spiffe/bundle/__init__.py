"""Trust bundles: a trust domain's authorities, and the JWK Sets that carry them.

Belongs here: what a bundle is (``model``), reading documents tolerantly (``reading``), writing them
strictly (``writing``), PEM, maps of bundles (``bundle_map``). Fetching, storing, refreshing and
federating bundles do not.
"""

from finial.spiffe.bundle.authority import JwtAuthority, WitAuthority, X509Authority
from finial.spiffe.bundle.bundle_map import BundleMap
from finial.spiffe.bundle.model import Bundle
from finial.spiffe.bundle.source import BundleSet, BundleSource

__all__ = [
    "Bundle",
    "BundleMap",
    "BundleSet",
    "BundleSource",
    "JwtAuthority",
    "WitAuthority",
    "X509Authority",
]
