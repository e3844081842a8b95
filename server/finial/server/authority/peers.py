"""The other servers of the trust domain, as far as their journals tell of their authorities."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from finial.runtime.logging import log
from finial.server.authority import journal
from finial.server.authority.rotator import KEPT_AFTER_EXPIRY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.server.authority.rotator import Authority
    from finial.server.datastore.journal import ForeignJournal

_LOGGER = logging.getLogger(__name__)


class ForeignJournals(Protocol):
    """What is needed of the store of journals."""

    async def others(self) -> list[ForeignJournal]: ...

    async def remove(self, journal: ForeignJournal) -> bool: ...


class Peers:
    """What other servers hold. Every method raises StoreError when the database refuses.

    A journal that can't be read, as of a newer program, is left alone.
    """

    def __init__(self, journals: ForeignJournals) -> None:
        self._journals = journals

    async def held(self) -> frozenset[str]:
        """The IDs of all authorities that other servers' journals tell of."""
        found = (_authorities(each) for each in await self._journals.others())
        return frozenset(authority.id for each in found for authority in each or ())

    async def prune(self, now: float) -> int:
        """Delete the journals of servers that are gone for good; return how many.

        A server that lives always has an authority that signs. So one whose every authority has
        been expired for as long as authorities are kept is gone; should it come back, it begins
        anew.
        """
        removed = 0
        for each in await self._journals.others():
            known = _authorities(each)
            if known is None:
                continue
            if all(authority.not_after + KEPT_AFTER_EXPIRY <= now for authority in known):
                removed += await self._journals.remove(each)
        return removed


def _authorities(of: ForeignJournal) -> Sequence[Authority] | None:
    try:
        state = journal.decode(of.data)
    except journal.JournalError as error:
        text = "cannot read another server's authorities"
        log(_LOGGER, logging.WARNING, text, server=of.server, error=str(error))
        return None
    current = (each for each in (state.active, state.prepared) if each is not None)
    return (*current, *state.old)
