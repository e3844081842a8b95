"""One kind of authority, carried through its life: signers, bundle and journal in step.

The order of each act is what a crash in its midst has to find: the key is made, then noted, then
published, then known here; a successor is noted as active before it signs. A key that was made
and not noted is made anew; one that was noted and not published is published at the next start.
What a slot held is given up before another key is made in it. Distrust is noted first, then
published, and the next start completes it, or the next look of a server that runs on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from finial.runtime.logging import log
from finial.server.authority import journal, rotator
from finial.server.authority.rotator import Activate, Authority, Prepare, Prune, State
from finial.server.registry.errors import AuthorityNotThere, AuthorityTainted, RegistryError
from finial.server.signer.errors import SignerError
from finial.server.signer.model import BACKDATE, AuthorityKind, AuthorityRef, KeyType
from finial.spiffe.bundle import JwtAuthority, WitAuthority, X509Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from finial.runtime.clock import Clock
    from finial.runtime.observe import Observer

_LOGGER = logging.getLogger(__name__)

RESERVE = 600
"""Seconds of signing that are noted ahead, so that the journal isn't written for each SVID."""

_SLOTS = {
    AuthorityKind.X509: ("x509-CA-A", "x509-CA-B"),
    AuthorityKind.JWT: ("JWT-Signer-A", "JWT-Signer-B"),
    AuthorityKind.WIT: ("WIT-Signer-A", "WIT-Signer-B"),
}


class Signers(Protocol):
    """What is needed of the signer pool."""

    async def authorities(self) -> list[AuthorityRef]: ...

    async def generate(
        self, kind: AuthorityKind, slot: str, key_type: KeyType, not_before: int, not_after: int
    ) -> AuthorityRef: ...

    async def drop(self, slot: str, authority_id: str) -> None: ...


class OwnBundle(Protocol):
    """What is needed of the store of the trust domain's own bundle; durable on return."""

    async def append(
        self,
        x509: Sequence[X509Authority] = (),
        jwt: Sequence[JwtAuthority] = (),
        wit: Sequence[WitAuthority] = (),
    ) -> None:
        """Add authorities; those that are in it already change nothing."""
        ...

    async def remove(
        self, x509: Sequence[str] = (), jwt: Sequence[str] = (), wit: Sequence[str] = ()
    ) -> None:
        """Take authorities out, X.509 ones by subject key identifier in lower case hex."""
        ...

    async def taint(self, kind: AuthorityKind, authority_id: str) -> None:
        """Mark one as distrusted. Raises RegistryError when there is none to mark."""
        ...

    async def revoke(self, kind: AuthorityKind, authority_id: str) -> None:
        """Take a tainted one out. Raises RegistryError when there is none to take out."""
        ...


class Journals(Protocol):
    """What is needed of the store of journals; durable on return."""

    async def get(self, name: str) -> bytes | None: ...

    async def put(self, name: str, data: bytes) -> None: ...


class AuthorityError(Exception):
    """An authority is not ready, or not the one for what is asked of it."""


class AuthoritySeries:
    """All authorities of one kind. Its state is changed under its lock and nowhere else.

    `on_unfinished` is called when an act was cut short that `recover` is to complete.
    """

    def __init__(
        self,
        kind: AuthorityKind,
        *,
        key_type: KeyType,
        ttl: int,
        clock: Clock,
        signers: Signers,
        bundle: OwnBundle,
        journals: Journals,
        observer: Observer,
        on_unfinished: Callable[[], None],
    ) -> None:
        self.kind = kind
        self.state = State()
        self._key_type = key_type
        self._ttl = ttl
        self._clock = clock
        self._signers = signers
        self._bundle = bundle
        self._journals = journals
        self._observer = observer
        self._on_unfinished = on_unfinished
        self._name = f"authority/{kind.value}"
        self._lock = asyncio.Lock()

    async def recover(self, *, forgotten: bool = False) -> None:
        """Find out which authorities can still sign, and have one that does.

        With `forgotten`, the database lacks what was noted last: what is known here counts.

        Raises:
            JournalError: the journal can't be read.
            SignerError, StoreError: what is needed for it is not to be had.
        """
        async with self._lock:
            if forgotten:
                await self._journals.put(self._name, journal.encode(self.state))
            noted = await self._journals.get(self._name)
            state = self.state if noted is None else journal.decode(noted)
            held = [each for each in await self._signers.authorities() if each.kind is self.kind]
            state = rotator.reconciled(state, {each.id for each in held})
            current = {each.id for each in (state.active, state.prepared) if each is not None}
            for each in held:
                if each.id in current:
                    await self._publish(each)
            for old in state.old:
                await self._publish_distrust(old)
            for each in held:
                found = rotator.find(state, each.id)
                if found is not None and found.tainted:
                    await self._forget(found)
            await self._note(state)
        await self.maintain()

    async def withdraw(self) -> None:
        """Have none of this kind: what an earlier run left leaves the bundle, and its keys go.

        Raises:
            JournalError: the journal can't be read.
            SignerError, StoreError: what is needed for it is not to be had.
        """
        async with self._lock:
            noted = await self._journals.get(self._name)
            left = State() if noted is None else journal.decode(noted)
            known = (left.active, left.prepared, *left.old)
            if gone := [each.id for each in known if each is not None]:
                await self._unpublish(gone)
            for held in await self._signers.authorities():
                if held.kind is self.kind:
                    await self._signers.drop(held.slot, held.id)
            self.state = State()
            if gone:
                await self._journals.put(self._name, journal.encode(self.state))
                self._observer.act("authorities withdrawn", kind=self.kind.value)

    async def maintain(self) -> None:
        """Do everything that is due."""
        while True:
            async with self._lock:
                act = rotator.next_act(self.state, self._clock.time())
                match act:
                    case Prepare():
                        await self._prepare()
                    case Activate():
                        await self._activate()
                    case Prune(gone):
                        await self._prune(gone)
                    case None:
                        return

    async def prepare(self) -> Authority:
        """Make and publish a successor, in place of one that is prepared already."""
        async with self._lock:
            return await self._prepare()

    async def activate(self, authority_id: str) -> Authority:
        """Let the prepared authority of that ID sign.

        Raises:
            AuthorityError: it is not the prepared one.
        """
        async with self._lock:
            prepared = self.state.prepared
            if prepared is None:
                raise AuthorityError("only Prepared authorities can be activated")
            if prepared.id != authority_id:
                raise AuthorityError("unexpected authority ID")
            return await self._activate()

    async def taint(self, authority_id: str) -> Authority:
        """Distrust an old authority: it is marked in the bundle, and its key is forgotten.

        Raises:
            AuthorityError: it is no old one.
            RegistryError: it is marked already, or no longer in the bundle.
        """
        async with self._lock:
            old = self._old(authority_id)
            with self._completed_later():
                await self._note(rotator.tainted(self.state, authority_id))
                try:
                    await self._bundle.taint(self.kind, authority_id)
                except AuthorityTainted:
                    # Unless an earlier call got no further than this, it is done.
                    if not (old.tainted and await self._holds(old)):
                        raise
                await self._forget(old)
            self._tell("authority tainted", old)
            return old

    async def revoke(self, authority_id: str) -> Authority:
        """Take a tainted authority out of the bundle.

        Raises:
            AuthorityError: it is no old one.
            RegistryError: it is not tainted, or no longer in the bundle.
        """
        async with self._lock:
            old = self._old(authority_id)
            with self._completed_later():
                if old.tainted:
                    await self._note(rotator.revoked(self.state, authority_id))
                    # The bundle may not have heard of it yet; of one that is gone, `revoke` tells.
                    with contextlib.suppress(AuthorityTainted, AuthorityNotThere):
                        await self._bundle.taint(self.kind, authority_id)
                await self._bundle.revoke(self.kind, authority_id)
            self._tell("authority revoked", old)
            return old

    async def revoke_foreign(self, authority_id: str) -> None:
        """Take a tainted authority that is none of this server's out of the bundle.

        Raises:
            RegistryError: it is not tainted, or not in the bundle.
        """
        await self._bundle.revoke(self.kind, authority_id)
        self._observer.act("authority revoked", kind=self.kind.value, authority_id=authority_id)

    async def reserve(self, authority_id: str, until: int) -> None:
        """Before an authority signs what ends at `until`: note it, unless that much is noted.

        Raises:
            AuthorityError: there is no such authority any more, or it is tainted.
        """
        if self._is_reserved(authority_id, until):
            return
        async with self._lock:
            if not self._is_reserved(authority_id, until):
                ahead = until + RESERVE
                await self._note(rotator.signing_until(self.state, authority_id, ahead))

    def _is_reserved(self, authority_id: str, until: int) -> bool:
        found = rotator.find(self.state, authority_id)
        if found is None:
            raise AuthorityError(f'authority "{authority_id}" is gone')
        if found.tainted:
            raise AuthorityError(f'authority "{authority_id}" is tainted')
        return until <= found.signed_until

    async def _prepare(self) -> Authority:
        now = int(self._clock.time())
        slot = self._free_slot()
        await self._give_up(slot)
        made = await self._signers.generate(
            self.kind, slot, self._key_type, now - BACKDATE, now + self._ttl
        )
        authority = Authority(
            id=made.id, slot=slot, not_before=made.not_before, not_after=made.not_after
        )
        state = rotator.with_prepared(self.state, authority)
        await self._journals.put(self._name, journal.encode(state))
        await self._publish(made)
        self.state = state
        self._tell("authority prepared", authority)
        return authority

    async def _give_up(self, slot: str) -> None:
        """Let go of what is prepared and what had the slot, before a new key takes its place.

        Whether that key is made or not, nothing signs with the one that it may have replaced.
        """
        prepared = self.state.prepared
        given_up = () if prepared is None else (replace(prepared, lost=True),)
        old = (replace(each, lost=True) if each.slot == slot else each for each in self.state.old)
        state = replace(self.state, prepared=None, old=(*given_up, *old))
        if state != self.state:
            # Not by `_note`: keys that are lost on purpose are nothing to warn of.
            await self._journals.put(self._name, journal.encode(state))
        self.state = state

    async def _activate(self) -> Authority:
        await self._note(rotator.activated(self.state))
        assert self.state.active is not None
        self._tell("authority activated", self.state.active)
        return self.state.active

    async def _prune(self, gone: Sequence[Authority]) -> None:
        await self._unpublish([each.id for each in gone])
        await self._note(rotator.pruned(self.state, gone))
        for each in gone:
            self._tell("authority pruned from the bundle", each)
            await self._signers.drop(each.slot, each.id)

    def _old(self, authority_id: str) -> Authority:
        for old in self.state.old:
            if old.id == authority_id:
                return old
        raise AuthorityError("unexpected authority ID")

    async def _publish_distrust(self, old: Authority) -> None:
        """Complete what a crash may have cut short."""
        if old.tainted:
            with contextlib.suppress(RegistryError):  # it is done, or the authority is gone
                await self._bundle.taint(self.kind, old.id)
        if old.revoked:
            with contextlib.suppress(RegistryError):
                await self._bundle.revoke(self.kind, old.id)

    @contextlib.contextmanager
    def _completed_later(self) -> Iterator[None]:
        """Have it recovered from when distrust that is noted, or may be, gets no further."""
        before = self.state
        try:
            yield
        except BaseException as error:
            refused = isinstance(error, RegistryError) and self.state == before
            if not refused:
                self._on_unfinished()
            raise

    async def _holds(self, authority: Authority) -> bool:
        return any(each.id == authority.id for each in await self._signers.authorities())

    async def _forget(self, authority: Authority) -> None:
        """No signer can sign with it from now on. One that does not hear is told at the next start.

        It is asked to sign by nobody in the meantime.
        """
        try:
            await self._signers.drop(authority.slot, authority.id)
        except SignerError as error:
            log(_LOGGER, logging.WARNING, "key of a tainted authority is left", error=str(error))

    async def _publish(self, made: AuthorityRef) -> None:
        if self.kind is AuthorityKind.X509:
            await self._bundle.append(x509=[X509Authority.from_der(made.certificate)])
        elif self.kind is AuthorityKind.JWT:
            key = JwtAuthority.from_spki(made.id, made.public_key, expires_at=made.not_after)
            await self._bundle.append(jwt=[key])
        else:
            bound = WitAuthority.from_spki(made.id, made.public_key, expires_at=made.not_after)
            await self._bundle.append(wit=[bound])

    async def _unpublish(self, ids: Sequence[str]) -> None:
        if self.kind is AuthorityKind.X509:
            await self._bundle.remove(x509=ids)
        elif self.kind is AuthorityKind.JWT:
            await self._bundle.remove(jwt=ids)
        else:
            await self._bundle.remove(wit=ids)

    async def _note(self, state: State) -> None:
        if state != self.state:
            await self._journals.put(self._name, journal.encode(state))
            for each in set(state.old) - set(self.state.old):
                if each.lost and not each.tainted:
                    log(_LOGGER, logging.WARNING, "key of an authority is lost", id=each.id)
        self.state = state

    def _free_slot(self) -> str:
        one, other = _SLOTS[self.kind]
        active = self.state.active
        return other if active is not None and active.slot == one else one

    def _tell(self, what: str, authority: Authority) -> None:
        self._observer.act(
            what,
            kind=self.kind.value,
            authority_id=authority.id,
            slot=authority.slot,
            expires_at=authority.not_after,
        )
