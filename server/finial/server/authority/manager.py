"""The authorities of the trust domain, kept alive by one task."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finial.runtime.alarm import Alarm
from finial.runtime.logging import log
from finial.server.authority.rotator import find
from finial.server.authority.series import (
    AuthorityError,
    AuthoritySeries,
    Journals,
    OwnBundle,
    Signers,
)
from finial.server.signer.model import AuthorityKind, KeyType

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.runtime.clock import Clock
    from finial.runtime.observe import Observer
    from finial.server.authority.rotator import Authority, State

_LOGGER = logging.getLogger(__name__)

GRAIN = 10.0
"""Seconds between two looks at the clock. Each look plans anew, also when the clock has jumped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthoritySettings:
    """How authorities are made.

    Attributes:
        ttl: life of an authority in seconds (`ca_ttl`), without the backdating.
        x509_key_type: `ca_key_type`.
        jwt_key_type: `jwt_key_type`.
        wit_key_type: `wit_key_type`; None where WIT-SVIDs are switched off.
    """

    ttl: int = 86_400
    x509_key_type: KeyType = KeyType.EC_P256
    jwt_key_type: KeyType = KeyType.EC_P256
    wit_key_type: KeyType | None = None


class AuthorityManager:
    """Has one active authority of each kind that is wanted, at all times after `start`."""

    def __init__(
        self,
        settings: AuthoritySettings,
        *,
        clock: Clock,
        signers: Signers,
        bundle: OwnBundle,
        journals: Journals,
        observer: Observer,
    ) -> None:
        self._clock = clock
        self._alarm = Alarm()
        self._recover = False
        self._forgotten = False
        self._on_recovery: list[Callable[[], None]] = []

        def series(kind: AuthorityKind, key_type: KeyType) -> AuthoritySeries:
            return AuthoritySeries(
                kind,
                key_type=key_type,
                ttl=settings.ttl,
                clock=clock,
                signers=signers,
                bundle=bundle,
                journals=journals,
                observer=observer,
                on_unfinished=self._recover_soon,
            )

        self._series = {
            AuthorityKind.X509: series(AuthorityKind.X509, settings.x509_key_type),
            AuthorityKind.JWT: series(AuthorityKind.JWT, settings.jwt_key_type),
        }
        self._unwanted: list[AuthoritySeries] = []
        wit = series(AuthorityKind.WIT, settings.wit_key_type or KeyType.EC_P256)
        if settings.wit_key_type is None:
            self._unwanted.append(wit)
        else:
            self._series[AuthorityKind.WIT] = wit

    def subscribe(self, on_recovery: Callable[[], None]) -> None:
        """Call `on_recovery` after lost authorities were replaced while the server runs.

        Who holds an SVID of a lost authority that only the server itself has used (its own SVID)
        needs a new one then: that authority leaves the bundle at once. The same holds after an
        X.509 authority was tainted.
        """
        self._on_recovery.append(on_recovery)

    async def start(self) -> None:
        """Take up the authorities of the last run where their keys exist, else begin new ones.

        Raises:
            JournalError: a journal can't be read.
            SignerError, StoreError: what is needed for it is not to be had.
        """
        for series in self._series.values():
            await series.recover()
        for series in self._unwanted:
            await series.withdraw()

    async def run(self) -> None:
        """Rotate and prune, until cancelled."""
        while True:
            await self._alarm.wait(self._clock.sleep(GRAIN))
            recover, self._recover = self._recover, False
            forgotten, self._forgotten = self._forgotten, False
            for series in self._series.values():
                try:
                    await (series.recover(forgotten=forgotten) if recover else series.maintain())
                except Exception as error:  # noqa: BLE001  (the next look may succeed; ending can't)
                    self._recover |= recover
                    self._forgotten |= forgotten
                    _complain(series, error)
            if recover and not self._recover:
                self._notify()

    def signers_restarted(self) -> None:
        """Signers were lost and started anew: what they hold is to be compared with the journal."""
        self._recover_soon()

    def database_went_back(self) -> None:
        """The database lost its last commits: what is known here is noted and published anew.

        A replica was promoted that lacked them, for instance. An authority that signs, or is about
        to, must not be missing in the bundle for that.
        """
        self._forgotten = True
        self.signers_restarted()

    def active(self, kind: AuthorityKind) -> Authority:
        """The authority that signs.

        Raises:
            AuthorityError: there is none yet.
        """
        if kind not in self._series:
            raise AuthorityError(f"{kind.name} functionality is disabled")
        found = self._series[kind].state.active
        if found is None:
            raise AuthorityError("server is initializing")
        return found

    def state(self, kind: AuthorityKind) -> State:
        """All authorities of a kind."""
        return self._series[kind].state

    async def prepare(self, kind: AuthorityKind) -> Authority:
        """Make and publish a successor now, in place of one that is prepared already."""
        return await self._series[kind].prepare()

    async def activate(self, kind: AuthorityKind, authority_id: str) -> Authority:
        """Let the prepared authority of that ID sign.

        Raises:
            AuthorityError: it is not the prepared one.
        """
        return await self._series[kind].activate(authority_id)

    async def taint(self, kind: AuthorityKind, authority_id: str) -> Authority:
        """Distrust an old authority, and have what hangs from it replaced.

        Raises:
            AuthorityError: it is no old one.
            RegistryError: it is marked already, or no longer in the bundle.
        """
        authority = await self._series[kind].taint(authority_id)
        if kind is AuthorityKind.X509:
            self._notify()
        return authority

    async def revoke(self, kind: AuthorityKind, authority_id: str) -> Authority:
        """Take a tainted authority out of the bundle; raises as an AuthoritySeries does."""
        return await self._series[kind].revoke(authority_id)

    async def revoke_foreign(self, kind: AuthorityKind, authority_id: str) -> None:
        """Take a tainted authority of another server out; raises as an AuthoritySeries does."""
        await self._series[kind].revoke_foreign(authority_id)

    def is_trusted(self, kind: AuthorityKind, authority_id: str) -> bool:
        """Whether what the authority has just signed may be handed out."""
        found = find(self._series[kind].state, authority_id)
        return found is not None and not found.tainted

    async def reserve(self, kind: AuthorityKind, authority_id: str, until: int) -> None:
        """To be awaited before the authority signs what ends at `until`, Unix seconds."""
        await self._series[kind].reserve(authority_id, until)

    def _recover_soon(self) -> None:
        self._recover = True
        self._alarm.ring()

    def _notify(self) -> None:
        for notify in self._on_recovery:
            notify()


def _complain(series: AuthoritySeries, error: Exception) -> None:
    log(
        _LOGGER,
        logging.ERROR,
        "authority cannot be maintained; trying again",
        kind=series.kind.value,
        error=f"{type(error).__name__}: {error}",
    )
