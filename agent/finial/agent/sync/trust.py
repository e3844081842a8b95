"""The bundle the agent verifies its server with, from bootstrap to now."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from finial.agent.errors import BootstrapError, StorageError
from finial.runtime import durable
from finial.runtime.logging import log
from finial.spiffe.bundle import Bundle, X509Authority
from finial.spiffe.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

    from finial.agent.storage import AgentData
    from finial.spiffe.trust_domain import TrustDomain

logger = logging.getLogger(__name__)


class Trust:
    """The current bundle of the own trust domain; what the TLS layer asks on every handshake."""

    def __init__(self, trust_domain: TrustDomain, bundle: Bundle | None, data: AgentData) -> None:
        self.trust_domain = trust_domain
        self._bundle = bundle
        self._data = data

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """The bundle; nothing when the agent bootstraps insecurely and has yet to do so."""
        return () if self._bundle is None else (self._bundle,)

    async def take(self, bundle: Bundle) -> None:
        """Take over the bundle as received, and store its authorities where disk has others.

        Raises BundleError for a bundle that would cut the agent off from its server for good.
        """
        if bundle.trust_domain != self.trust_domain:
            raise BundleError(f"server sent a bundle of trust domain {bundle.trust_domain}")
        if not bundle.x509_authorities:
            raise BundleError("server sent a bundle without X.509 authorities")
        if bundle != self._bundle:
            self._bundle = bundle
        certificates = _certificates(bundle)
        if certificates == self._data.bundle:
            return
        try:
            await asyncio.to_thread(self._data.store_bundle, certificates)
        except StorageError as error:
            # Tried again with the next bundle; until then memory has what disk has not.
            log(logger, logging.ERROR, "trust bundle was not stored", error=str(error))


def initial_bundle(
    trust_domain: TrustDomain,
    data: AgentData,
    path: Path | None,
    *,
    form: str = "pem",
    insecure: bool = False,
) -> Bundle | None:
    """Return the bundle to begin with: the one on disk from last time, else the configured file.

    `form` is `pem` or `spiffe` (a JWK Set). `insecure` makes it None where there is neither.
    Raises BootstrapError.
    """
    if data.bundle:
        authorities = tuple(X509Authority.from_der(der) for der in data.bundle)
        return Bundle(trust_domain, authorities)
    if path is None and insecure:
        return None
    if path is None:
        raise BootstrapError(
            "no trust bundle: set trust_bundle_path to a file with the server's authorities "
            "(finial-server bundle show writes one)"
        )
    bundle = _read(trust_domain, path, form)
    if not bundle.x509_authorities:
        raise BootstrapError(f"trust bundle {path} has no X.509 authority in it")
    return bundle


def _read(trust_domain: TrustDomain, path: Path, form: str) -> Bundle:
    try:
        content = durable.read_file(path)
    except durable.DurableError as error:
        raise BootstrapError(f"trust_bundle_path: {error}") from None
    if content is None:
        raise BootstrapError(f"trust_bundle_path: there is no file {path}")
    try:
        if form == "spiffe":
            return Bundle.from_jwks(trust_domain, content)
        return Bundle.from_pem(trust_domain, content)
    except BundleError as error:
        raise BootstrapError(
            f"trust bundle {path} cannot be read as {form} ({error}); "
            "see trust_bundle_format, which is pem or spiffe"
        ) from None


def _certificates(bundle: Bundle) -> tuple[bytes, ...]:
    return tuple(authority.der for authority in bundle.x509_authorities)
