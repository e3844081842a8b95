"""Everything that can be wrong with a SPIFFE document.

The tree, each message fit to be shown to the caller that sent the document::

    SpiffeError (ValueError)
    ├── SpiffeIdError        a SPIFFE ID or a trust domain name
    ├── X509SvidError        an X509-SVID, its chain, or an X.509 authority
    ├── JwtSvidError         a JWT-SVID
    └── BundleError          a bundle document

No message quotes key material or a token.
"""


class SpiffeError(ValueError):
    """A document or a name does not meet the SPIFFE standards."""


class SpiffeIdError(SpiffeError):
    """A SPIFFE ID or a trust domain name is malformed."""


class X509SvidError(SpiffeError):
    """An X509-SVID is malformed, breaks its profile, or does not chain to its trust domain."""


class JwtSvidError(SpiffeError):
    """A JWT-SVID is malformed, expired, meant for others, or not signed by its trust domain."""


class BundleError(SpiffeError):
    """A trust bundle is not a JWK Set or PEM file that can be used, or may not be published."""
