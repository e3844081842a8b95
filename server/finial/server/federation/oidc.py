"""OpenID Connect discovery of the keys that sign JWT-SVIDs, as SPIRE's provider serves it.

Two documents: `/.well-known/openid-configuration` says who the issuer is and where the keys are,
`/keys` has them as a JWK Set. The issuer that is named has to be the one in the tokens; a request
for another host than the configured ones is refused, as the document would name that host.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finial.runtime.web import Document, Request, Response, Routes
from finial.spiffe import public_key
from finial.spiffe.jose.algorithm import algorithm_for

if TYPE_CHECKING:
    from finial.spiffe.bundle import Bundle, BundleSource, JwtAuthority
    from finial.spiffe.trust_domain import TrustDomain

WELL_KNOWN = "/.well-known/openid-configuration"
KEYS = "/keys"

_INDENT = 2
_NOT_CACHED = (
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Expires", "0"),
)
"""A key that was revoked is to be gone from the next look on."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the documents say.

    Attributes:
        domains: the hosts that may be asked for; lower case.
        jwt_issuer: the issuer; empty for the host that was asked for.
        jwks_uri: where the keys are; empty for below the issuer.
        path_prefix: before both paths; without slash at its end.
        set_key_use: whether keys have `use: sig`.
        allow_insecure_scheme: whether URLs are http when asked for over it.
    """

    domains: frozenset[str]
    jwt_issuer: str = ""
    jwks_uri: str = ""
    path_prefix: str = ""
    set_key_use: bool = False
    allow_insecure_scheme: bool = False


class OidcDocuments:
    """Answers for one trust domain's bundle."""

    def __init__(self, own: TrustDomain, bundles: BundleSource, discovery: Discovery) -> None:
        self._own = own
        self._bundles = bundles
        self._discovery = discovery
        self._written_of: Bundle | None = None
        self._keys: Document | None = None

    def routes(self) -> Routes:
        """Both documents."""
        prefix = self._discovery.path_prefix
        return Routes({prefix + WELL_KNOWN: self.configuration, prefix + KEYS: self.keys})

    def probes(self, live_path: str, ready_path: str) -> Routes:
        """Answers 200 at once, and 200 when there are keys."""
        return Routes({live_path: lambda _: Response(), ready_path: self._ready})

    def configuration(self, request: Request) -> Response:
        """The discovery document, for the host that was asked for."""
        host = request.host.lower()
        if _name_of(host) not in self._discovery.domains:
            return Response.refusal(400, "domain is not allowed")
        members = {
            "issuer": self._issuer(request, host),
            "jwks_uri": self._jwks_uri(request, host),
            "authorization_endpoint": "",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "ES384"],
        }
        return Document(_json(members)).answer(request)

    def keys(self, request: Request) -> Response:
        """The keys that sign JWT-SVIDs, and no others."""
        bundle = self._bundles.bundle_for(self._own)
        if bundle is None:
            return Response.refusal(500, "document not available")
        if not bundle.jwt_authorities:
            return Response.refusal(501, "jwt not supported/enabled in this service")
        if self._keys is None or self._written_of is not bundle:
            keys = [self._jwk(authority) for authority in bundle.jwt_authorities]
            self._keys = Document(_json({"keys": keys}), headers=_NOT_CACHED)
            self._written_of = bundle
        return self._keys.answer(request)

    def _ready(self, request: Request) -> Response:  # noqa: ARG002 - a resource's signature
        bundle = self._bundles.bundle_for(self._own)
        return Response(200 if bundle and bundle.jwt_authorities else 500)

    def _issuer(self, request: Request, host: str) -> str:
        return self._discovery.jwt_issuer or self._root(request, host)

    def _jwks_uri(self, request: Request, host: str) -> str:
        return self._discovery.jwks_uri or self._issuer(request, host).rstrip("/") + KEYS

    def _root(self, request: Request, host: str) -> str:
        plain = self._discovery.allow_insecure_scheme and not request.secure
        return f"{'http' if plain else 'https'}://{host}{self._discovery.path_prefix}"

    def _jwk(self, authority: JwtAuthority) -> dict[str, str]:
        """A key with the members that SPIRE's provider writes, in its order."""
        key = public_key.to_jwk(authority.public_key)
        use = {"use": "sig"} if self._discovery.set_key_use else {}
        named = {"kty": key.pop("kty"), "kid": authority.key_id}
        curve = {"crv": key.pop("crv")} if "crv" in key else {}
        return use | named | curve | _algorithm(authority) | key


def _algorithm(authority: JwtAuthority) -> dict[str, str]:
    try:
        return {"alg": algorithm_for(authority.public_key).name}
    except TypeError:  # another server of the trust domain signs with what we do not
        return {}


def _name_of(host: str) -> str:
    """The name in a Host field, without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _json(members: dict[str, Any]) -> bytes:
    return json.dumps(members, indent=_INDENT).encode()
