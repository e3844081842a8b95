"""SPIFFE Federation as far as it is rules: no socket, no clock, no store.

Belongs here: what a relationship with another trust domain is and what is wrong with one
(``relationship``, ``bundle_url``), one fetch of its bundle with its redirects (``fetch``), who must
answer it and whether they did (``peer``), which of two bundles is the newer (``freshness``), how
often to ask (``polling``). Asking, storing and serving belong to the server.
"""

from finial.spiffe.federation.bundle_url import BundleUrl
from finial.spiffe.federation.fetch import Fetch, FetchedBundle
from finial.spiffe.federation.freshness import Held, Outcome, Verdict, judge
from finial.spiffe.federation.peer import SpiffePeer, WebPeer, authenticate
from finial.spiffe.federation.polling import refresh_interval
from finial.spiffe.federation.relationship import Profile, Relationship

__all__ = [
    "BundleUrl",
    "Fetch",
    "FetchedBundle",
    "Held",
    "Outcome",
    "Profile",
    "Relationship",
    "SpiffePeer",
    "Verdict",
    "WebPeer",
    "authenticate",
    "judge",
    "refresh_interval",
]
