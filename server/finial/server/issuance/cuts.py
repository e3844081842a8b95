"""SVIDs that live shorter than they should, since their authority ends first: counted and told."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from finial.runtime.logging import log

if TYPE_CHECKING:
    from finial.server.issuance.plan import Validity

_LOGGER = logging.getLogger(__name__)


class Cuts:
    """How many SVIDs were cut short. One warning an authority: the remedy is the same for all.

    Attributes:
        count: by kind of document: "x509", "jwt", "wit".
    """

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self._told: dict[str, str] = {}

    def note(self, kind: str, authority_id: str, life: Validity) -> None:
        """A document of that kind and life was issued under that authority."""
        if not life.cut:
            return
        self.count[kind] += 1
        if self._told.get(kind) == authority_id:
            return
        self._told[kind] = authority_id
        log(
            _LOGGER,
            logging.WARNING,
            "SVIDs live shorter than asked for, since their authority ends first: "
            "ask for less, or raise ca_ttl",
            kind=kind,
            authority_id=authority_id,
            effective_ttl=life.effective,
            wanted_ttl=life.effective + life.cut,
            cut_so_far=self.count[kind],
        )
