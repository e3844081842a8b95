"""The agent's own identity: attested once, renewed for as long as it lives, given up when told so.

A new key is on disk before the server hears of it, and a new SVID before it is used, so that a
crash at any moment leaves the agent with a pair that works. The server accepts the old SVID until
the new one is first used.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import grpc

from finial.agent import keys, rotation
from finial.agent.errors import (
    AgentBanned,
    AgentError,
    AgentRejected,
    AttestationRefused,
    StorageError,
)
from finial.agent.storage import StoredSvid
from finial.agent.sync.refusal import Refusal, refusal_of
from finial.agent.sync.server import ProtocolError
from finial.attestors.node.interface import AttestError, AttestReason
from finial.runtime.alarm import Alarm
from finial.runtime.backoff import Backoff
from finial.runtime.logging import log
from finial.runtime.rpc import RpcError, TlsIdentity
from finial.spiffe import certificate
from finial.spiffe.errors import SpiffeError, X509SvidError
from finial.spiffe.x509_svid import X509Svid, verify_chain

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from finial.agent.storage import AgentData, KeyStore
    from finial.agent.sync.server import ServerClient
    from finial.agent.sync.trust import Trust
    from finial.attestors.node.interface import NodeAttestorAgent
    from finial.runtime.clock import Clock
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.spiffe_id import SpiffeId
    from finial.spiffe.trust_domain import TrustDomain

logger = logging.getLogger(__name__)

RETRY_BASE = 1.0
RETRY_CAP = 30.0
ATTEST_CAP = 4.0  # a node without an SVID serves nothing: it is back within 5 s of its server

# The server has judged the evidence: showing it again would change nothing.
_VERDICTS = frozenset(
    {
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNAUTHENTICATED,
    }
)


class AgentIdentity:
    """The agent's SVID. `generation` rises with each new one, `svid` is None before the first.

    `tls` is the same for the TLS layer, one object an SVID.
    """

    def __init__(
        self,
        *,
        trust_domain: TrustDomain,
        attestor: NodeAttestorAgent,
        client: ServerClient,
        trust: Trust,
        data: AgentData,
        key_store: KeyStore,
        clock: Clock,
        rng: random.Random,
        unreachable: Callable[[str], None] = lambda _reason: None,
        serving_until: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._trust_domain = trust_domain
        self._attestor = attestor
        self._client = client
        self._trust = trust
        self._data = data
        self._key_store = key_store
        self._clock = clock
        self._rng = rng
        self._unreachable = unreachable
        self._serving_until = serving_until
        self._lock = asyncio.Lock()
        self.svid: X509Svid | None = None
        self.tls: TlsIdentity | None = None
        self.reattestable = False
        self.generation = 0
        self._rotate_at = 0.0
        self._good_by: Bundle | None = None  # the latest bundle that the SVID was verified with
        self._taken = Alarm()

    def expired(self) -> bool:
        """Whether there is no SVID that the server would take."""
        return self.svid is None or self.svid.not_after <= self._clock.time()

    def load(self) -> None:
        """Take up the SVID on disk if it is still valid and its key is there."""
        stored = self._data.svid
        if stored is None:
            return
        try:
            leaf = certificate.load(stored.chain[0])
            key = self._key_store.find(keys.public_der_of(leaf))
            if key is None:
                log(logger, logging.WARNING, "the key of the stored agent SVID is not kept")
                return
            svid = X509Svid.parse(stored.chain, key)
        except ValueError as error:
            log(logger, logging.WARNING, "stored agent SVID cannot be used", error=str(error))
            return
        if svid.not_after <= self._clock.time() or not svid.id.member_of(self._trust_domain):
            log(logger, logging.INFO, "stored agent SVID is of no use any more", id=svid.id.uri)
            return
        self._key_store.use(key)
        self._take(svid, stored.reattestable, received_at=svid.not_before)

    async def establish(self) -> None:
        """Attest unless there is a valid SVID; retries until the server has judged.

        Raises AttestationRefused.
        """
        if self.expired():
            await self._attest_until_judged(self.generation)

    async def run(self) -> None:
        """Renew whenever it is time, for ever. Raises AgentError when the agent has to give up."""
        backoff = self._backoff(RETRY_CAP)
        while True:
            await self._due()
            generation = self.generation
            try:
                await self._rotate(generation)
            except (RpcError, AttestError, ProtocolError, SpiffeError, StorageError) as error:
                log(logger, logging.ERROR, "agent SVID was not renewed", error=str(error))
                if isinstance(error, RpcError):
                    await self.react(error, generation)
                if self.expired():
                    await self._replace_expired()
                else:
                    await self._clock.sleep(min(backoff.next_delay(), self._most_to_wait()))
            else:
                backoff.reset()

    def _most_to_wait(self) -> float:
        """Seconds: a quarter of what is left, so that no pause outlasts the SVID."""
        left = self.svid.not_after - self._clock.time() if self.svid else 0.0
        return max(left / 4, RETRY_BASE)

    async def _due(self) -> None:
        """Wait until the SVID in use, whichever that is by then, is due for renewal."""
        while self._clock.time() < self._rotate_at:
            await self._taken.wait(self._clock.sleep_until(self._rotate_at))

    async def rotate_if_tainted(self, key_ids: frozenset[bytes]) -> None:
        """Renew at once when the SVID chains to one of these authorities. Raises as `run`."""
        if self.svid is None:
            return
        if certificate.authority_key_id(certificate.load(self.svid.chain[-1])) in key_ids:
            await self._rotate(self.generation)

    async def rotate_if_cut_off(self, own: Bundle) -> None:
        """Renew when the SVID's authority has left the bundle. Raises as `run`.

        The server takes it for as long as the connection lasts, and not on the next.
        """
        if self.svid is None or self.expired() or own == self._good_by:
            return
        try:
            verify_chain(self.svid.chain, own, self._clock.time())
        except X509SvidError:
            await self._rotate(self.generation)
        self._good_by = own

    async def react(self, error: RpcError, generation: int) -> bool:
        """Do what a failed call demands; return whether to try again at once.

        `generation` is the identity's as it was before the call: a refusal of an SVID that has
        been replaced meanwhile says nothing about its successor. Raises AgentBanned, AgentRejected.
        """
        refusal = refusal_of(error)
        if refusal is Refusal.NONE:
            return False
        if generation != self.generation:
            return True
        if refusal is Refusal.BANNED:
            await self._forget()
            raise AgentBanned(
                "this agent is banned at the server; its SVID has been deleted. "
                "To let it in again, evict the agent at the server and attest anew"
            )
        why = f"the server no longer accepts this agent: {error.details()}"
        await self._attest_again(why, generation)
        return True

    async def _replace_expired(self) -> None:
        """Deal with an SVID that expired while the server was away.

        When the attestor cannot attest again, what workloads hold is served to its end first. The
        SVID stays on disk: that it has expired is the word of this node's clock, which may be wrong
        and corrected.
        """
        why = "the agent's SVID has expired"
        if self.reattestable:
            await self._attest_again(why, self.generation)
            return
        log(
            logger,
            logging.ERROR,
            "agent SVID has expired and this agent cannot attest again; "
            "serving what is left, then stopping",
        )
        while (left := self._left_to_serve()) > 0:
            await self._clock.sleep(min(left, RETRY_CAP))
            if not self.expired():
                return  # the clock was wrong
        raise _lost(why)

    def _left_to_serve(self) -> float:
        """Seconds until the last SVID that a workload holds expires; 0 when there is none."""
        until = self._serving_until()
        return 0.0 if until is None else until - self._clock.time()

    async def _attest_again(self, why: str, generation: int) -> None:
        if not self.reattestable:
            await self._forget()
            raise _lost(why)
        log(logger, logging.WARNING, "attesting again", reason=why)
        await self._attest_until_judged(generation)

    async def _rotate(self, generation: int) -> None:
        async with self._lock:
            if generation != self.generation:
                return
            if self.reattestable:
                await self._attest()
                return
            own = None if self.svid is None else self.svid.id
            key = await self._new_key()
            chain = await self._client.renew(keys.request(key))
            await self._adopt(chain, key, reattestable=False, renews=own)

    async def _attest_until_judged(self, generation: int) -> None:
        backoff = self._backoff(ATTEST_CAP)
        while True:
            try:
                async with self._lock:
                    if generation == self.generation:  # else another task has done it meanwhile
                        await self._attest()
            except AttestError as error:
                if error.reason is not AttestReason.INTERNAL:
                    raise AttestationRefused(f"cannot attest: {error.message}") from None
                reason = error.message
            except RpcError as error:
                if error.code() in _VERDICTS:
                    raise _refused(error) from None
                reason = f"{error.code().name}: {error.details()}"
            except (ProtocolError, SpiffeError) as error:
                reason = str(error)
            else:
                return
            log(logger, logging.WARNING, "attestation failed, trying again", error=reason)
            self._unreachable(reason)
            await backoff.wait()

    async def _attest(self) -> None:
        payload = await self._attestor.payload()
        key = await self._new_key()
        attested, bundle = await self._client.attest(
            self._attestor.type, payload, keys.request(key), self._attestor.respond
        )
        await self._trust.take(bundle)
        await self._adopt(attested.chain, key, reattestable=attested.reattestable)
        log(logger, logging.INFO, "node attested", attestor=self._attestor.type)

    async def _new_key(self) -> keys.PrivateKey:
        key = keys.new_key()
        await asyncio.to_thread(self._key_store.store_next, keys.pkcs8(key))
        return key

    async def _adopt(
        self,
        chain: tuple[bytes, ...],
        key: keys.PrivateKey,
        *,
        reattestable: bool,
        renews: SpiffeId | None = None,
    ) -> None:
        private = keys.pkcs8(key)
        svid = X509Svid.parse(chain, private)
        if not (svid.id.member_of(self._trust_domain) and svid.id.is_agent):
            raise ProtocolError(f"server issued {svid.id} to an agent of {self._trust_domain}")
        if renews is not None and svid.id != renews:
            raise ProtocolError(f"server renewed the SVID of {renews} as {svid.id}")
        if svid.not_after <= self._clock.time():
            raise ProtocolError("server issued an agent SVID that has expired already")
        try:
            await asyncio.to_thread(self._data.store_svid, StoredSvid(svid.chain, reattestable))
        except StorageError as error:
            # With a valid one on disk the new one is not taken up: a restart would find an SVID
            # that the server has retired. Without, an SVID in memory is better than none.
            if not self.expired():
                raise
            log(logger, logging.ERROR, "agent SVID was not stored", error=str(error))
        self._key_store.use(private)
        self._take(svid, reattestable, received_at=self._clock.time())
        self._client.reconnect()

    def _take(self, svid: X509Svid, reattestable: bool, *, received_at: float) -> None:
        self.svid = svid
        self.reattestable = reattestable
        self.generation += 1
        self.tls = TlsIdentity(svid.chain, svid.key_pkcs8)
        self._rotate_at = rotation.rotation_time(received_at, svid.not_after, self._rng)
        self._taken.ring()
        log(logger, logging.INFO, "agent SVID in use", id=svid.id.uri, expires_at=svid.not_after)

    async def _forget(self) -> None:
        self.svid = self.tls = None
        try:
            await asyncio.to_thread(self._data.delete_svid)
        except StorageError as error:
            log(logger, logging.ERROR, "agent SVID was not deleted from disk", error=str(error))

    def _backoff(self, cap: float) -> Backoff:
        return Backoff(self._clock, self._rng, base=RETRY_BASE, cap=cap)


def _refused(error: RpcError) -> AgentError:
    if refusal_of(error) is Refusal.BANNED:
        return AgentBanned(f"server refused the attestation: {error.details()}")
    return AttestationRefused(f"server refused the attestation: {error.details()}")


def _lost(why: str) -> AgentRejected:
    return AgentRejected(
        f"{why}; its attestor cannot attest again by itself. "
        "Start it with new evidence (for join_token: a new token)"
    )
