"""Everything that can be wrong with a SPIFFE document.

The tree, each message fit to be shown to the caller that sent the document::

    SpiffeError (ValueError)
    ├── SpiffeIdError        a SPIFFE ID or a trust domain name
    ├── X509SvidError        an X509-SVID, its chain, or an X.509 authority
    ├── JwtSvidError         a JWT-SVID
    ├── WitSvidError         a WIT-SVID, or the proof that goes with it
    ├── BundleError          a bundle document or a map of them
    └── FederationError      a relationship with another trust domain, or a step of keeping it

No message quotes key material or a token.
"""

from __future__ import annotations

import json

_SHOWN = 256


class SpiffeError(ValueError):
    """A document or a name does not meet the SPIFFE standards."""


class SpiffeIdError(SpiffeError):
    """A SPIFFE ID or a trust domain name is malformed."""


class X509SvidError(SpiffeError):
    """An X509-SVID is malformed, breaks its profile, or does not chain to its trust domain."""


class JwtSvidError(SpiffeError):
    """A JWT-SVID is malformed, expired, meant for others, or not signed by its trust domain."""


class WitSvidError(SpiffeError):
    """A WIT-SVID, or its proof, is malformed, expired, or not signed by whom it must be."""


class BundleError(SpiffeError):
    """A trust bundle is not a JWK Set or PEM file that can be used, or may not be published."""


class FederationError(SpiffeError):
    """A federation relationship is ill-defined, or the standard forbids what it is used for."""


def quoted(text: str) -> str:
    """Quote a stranger's text: escapes for what does not print, and an end to it."""
    return json.dumps(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
