"""Entries whose SVIDs will at times live shorter than they say: told when they are written."""

import logging

from finial.runtime.logging import log
from finial.server.issuance import Lifetimes
from finial.server.registry.model import Entry

_LOGGER = logging.getLogger(__name__)


class ShortLives:
    """Warns of TTLs that an authority near its end cannot cover."""

    def __init__(self, lifetimes: Lifetimes) -> None:
        self._lifetimes = lifetimes

    def warn(self, entry: Entry) -> None:
        """One line for an entry with such a TTL; the defaults are the configuration's to check."""
        fields = {}
        for name, ttl in (("x509", entry.x509_svid_ttl), ("jwt", entry.jwt_svid_ttl)):
            effective = self._lifetimes.surely(ttl)
            if effective < ttl:
                fields[f"{name}_svid_ttl"] = ttl
                fields[f"effective_{name}_svid_ttl"] = effective
        if fields:
            log(
                _LOGGER,
                logging.WARNING,
                "SVIDs of an entry will at times live shorter than it says: "
                "lower its TTL, or raise ca_ttl",
                entry_id=entry.id,
                spiffe_id=entry.spiffe_id.uri,
                **fields,
            )
