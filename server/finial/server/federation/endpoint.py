"""The bundle endpoint: this trust domain's bundle to whoever asks (SPIFFE Federation section 5.2).

There is one document, at `/`. It is the bundle as the server itself uses it, written anew when that
has changed and not before.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from finial.runtime.logging import log
from finial.runtime.web import Document, Request, Response, Routes
from finial.spiffe.errors import BundleError

if TYPE_CHECKING:
    from finial.spiffe.bundle import Bundle, BundleSource
    from finial.spiffe.trust_domain import TrustDomain

logger = logging.getLogger(__name__)


class BundleDocument:
    """The document of one trust domain's bundle; `refresh_hint` in seconds."""

    def __init__(self, own: TrustDomain, bundles: BundleSource, refresh_hint: int) -> None:
        self._own = own
        self._bundles = bundles
        self._refresh_hint = refresh_hint
        self._written_of: Bundle | None = None
        self._document: Document | None = None

    def routes(self) -> Routes:
        """What the endpoint serves: a GET of `/`, and as in SPIRE nothing else, not even HEAD."""
        return Routes({"/": self.answer})

    def answer(self, request: Request) -> Response:
        """The newest bundle (FED-18)."""
        bundle = self._bundles.bundle_for(self._own)
        if bundle is None:
            return Response.refusal(503, "503 no bundle to serve yet")
        if self._document is None or self._written_of is not bundle:
            self._document = self._write(bundle)
            self._written_of = bundle
        if self._document is None:
            return Response.refusal(500, "500 the bundle cannot be published")
        return self._document.answer(request)

    def _write(self, bundle: Bundle) -> Document | None:
        try:
            return Document(replace(bundle, refresh_hint=self._refresh_hint).to_jwks())
        except BundleError as error:
            log(logger, logging.ERROR, "the bundle cannot be published", error=str(error))
            return None
