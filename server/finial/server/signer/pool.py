"""The signers of one server: started, fed, watched, replaced; asked to sign and to make keys.

The API process holds no key. It asks one signer, the keeper, to make them; the keeper stores
them and tells its siblings, which it has itself started (why, says the package's docstring). If
the keeper ends, a sibling that lives takes its place with the keys it has; siblings of the old
keeper get no new work, since they would not hear of new keys. If the last signer ends, keys of
the key manager `memory` are gone, and whoever subscribed is told to replace the authorities.
"""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial
from typing import TYPE_CHECKING, Any

from finial.api.finial import signer_pb2
from finial.runtime.backoff import Backoff
from finial.runtime.logging import log
from finial.runtime.tasks import TaskGroup
from finial.server.signer.errors import SignerRefused, SignerStartError, SignerUnavailable
from finial.server.signer.model import AuthorityRef, KeyType, SignerSettings
from finial.server.signer.nursery import Nursery
from finial.server.signer.work import Batch, Job, Part, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from finial.runtime.clock import Clock
    from finial.server.signer.link import SignerLink
    from finial.server.signer.model import AuthorityKind

_LOGGER = logging.getLogger(__name__)

WINDOW = 2
"""Frames that a signer has at once: it goes on with one while the loop reads the other's reply."""

LOOK_EVERY = 5.0
"""Seconds between two looks at whether signers answer."""

MOST_LOOKS = 4
"""Looks that one request may wait for without being worked on: 15 to 20 s."""

MOST_WORK = 60.0
"""Seconds of processor time for one request; an RSA key of 4096 bits can take several."""


class SignerPool:
    """Signs without a key. All methods belong to the event loop it was started in."""

    def __init__(self, settings: SignerSettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._backoff = Backoff(clock, random.SystemRandom(), base=0.1, cap=10.0)
        self._nursery = Nursery(settings, self._lost)
        self._links: list[SignerLink] = []
        self._keeper: SignerLink | None = None
        self._queue = WorkQueue()
        self._pumping = False
        self._closed = False
        self._attention = asyncio.Event()
        self._on_restart: list[Callable[[], None]] = []

    def subscribe(self, on_restart: Callable[[], None]) -> None:
        """Call `on_restart` whenever all signers were lost and new ones have started."""
        self._on_restart.append(on_restart)

    async def start(self) -> None:
        """Start the keeper, and its siblings as far as not to wait for them.

        Raises:
            SignerStartError: it can't be started, or refuses the key manager or its keys.
        """
        async with TaskGroup() as watching:
            watch = watching.start("signers' answers", self._watch())
            await self._revive()
            watch.cancel()

    async def run(self) -> None:
        """Replace signers that end or do not answer, until cancelled."""
        async with TaskGroup() as watching:
            watching.start("signers' answers", self._watch())
            await self._replace()

    async def _replace(self) -> None:
        while True:
            await self._attention.wait()
            self._attention.clear()
            try:
                await self._revive()
                self._backoff.reset()
            except SignerStartError as error:
                log(_LOGGER, logging.ERROR, "no signer can be started", error=str(error))
                self._queue.fail_all(SignerUnavailable("no signer can be started"))
                self._attention.set()
                await self._backoff.wait()

    async def _watch(self) -> None:
        """End signers that do not answer: a process that was stopped closes no link by itself."""
        while True:
            await self._clock.sleep(LOOK_EVERY)
            for link in (*self._links, *self._nursery.starting):
                if link.hangs(MOST_LOOKS, MOST_WORK):
                    log(_LOGGER, logging.ERROR, "a signer does not answer", pid=link.pid)
                    link.kill()
                elif not link.waiting and not link.retired:
                    # Asked for the sake of an answer: who is silent is not to be found out only
                    # by the callers that it lets wait.
                    listing = signer_pb2.ListAuthorities()
                    heard = partial(_let_go_if_retired, link)
                    link.request(signer_pb2.Request(list_authorities=listing), heard)

    async def close(self) -> None:
        """Let all signers go; what waits is answered with SignerUnavailable."""
        self._closed = True
        for link in tuple(self._links):
            link.close()
        self._queue.fail_all(SignerUnavailable("the server is stopping"))
        await self._nursery.close()

    async def sign_x509(
        self, authority_id: str, orders: Sequence[signer_pb2.X509Order]
    ) -> list[signer_pb2.X509Result]:
        """Sign certificates; results in the order of the orders, each with a refusal or without.

        Raises:
            SignerUnavailable: no signer could answer.
            SignerRefused: no signer holds the authority.
        """
        return await self._sign(Batch.X509, authority_id, orders)

    async def sign_jwt(
        self, authority_id: str, orders: Sequence[signer_pb2.JwtOrder]
    ) -> list[signer_pb2.JwtResult]:
        """Sign tokens; as `sign_x509`."""
        return await self._sign(Batch.JWT, authority_id, orders)

    async def sign_wit(
        self, authority_id: str, orders: Sequence[signer_pb2.WitOrder]
    ) -> list[signer_pb2.WitResult]:
        """Sign tokens that are bound to workloads' keys; as `sign_x509`."""
        return await self._sign(Batch.WIT, authority_id, orders)

    async def sign_downstream(
        self, authority_id: str, orders: Sequence[signer_pb2.DownstreamOrder]
    ) -> list[signer_pb2.X509Result]:
        """Sign CA certificates of downstream servers; as `sign_x509`."""
        return await self._sign(Batch.DOWNSTREAM, authority_id, orders)

    async def authorities(self) -> list[AuthorityRef]:
        """Every authority whose key is held, by slot.

        Raises:
            SignerUnavailable: no signer could answer.
        """
        request = signer_pb2.Request(list_authorities=signer_pb2.ListAuthorities())
        return _refs(await self._ask_keeper(request))

    async def generate(
        self, kind: AuthorityKind, slot: str, key_type: KeyType, not_before: int, not_after: int
    ) -> AuthorityRef:
        """Make an authority in a slot, in place of what it held; times in Unix seconds.

        Raises:
            SignerUnavailable: no signer could answer.
            SignerRefused: the policy forbids it, or the key cannot be stored.
        """
        order = signer_pb2.GenerateAuthority(
            slot=slot,
            kind=kind.wire,
            key_type=key_type.wire,
            not_before=not_before,
            not_after=not_after,
        )
        held = _refs(await self._ask_keeper(signer_pb2.Request(generate_authority=order)))
        return next(each for each in held if each.slot == slot)

    async def drop(self, slot: str, authority_id: str) -> None:
        """Forget an authority's key, if the slot still holds it; raises as `generate`."""
        order = signer_pb2.DropAuthority(slot=slot, authority_id=authority_id)
        await self._ask_keeper(signer_pb2.Request(drop_authority=order))

    @property
    def size(self) -> int:
        """Signers that take work."""
        return len(self.pids)

    @property
    def pids(self) -> list[int]:
        """Process IDs of the signers that take work, the keeper's first."""
        return [each.pid for each in self._links if not each.retired]

    async def _sign(self, kind: Batch, authority_id: str, orders: Sequence[object]) -> list[Any]:
        if not orders:
            return []
        if self._closed:
            raise SignerUnavailable("the server is stopping")
        job = Job(kind, authority_id, orders, asyncio.get_running_loop().create_future())
        self._queue.add(job)
        if not self._pumping:
            # Whoever else asks in this turn of the loop shares the frames.
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)
        return await job.done

    def _pump(self) -> None:
        self._pumping = False
        while self._queue.size:
            idle = [each for each in self._links if each.waiting < WINDOW and not each.retired]
            if not idle:
                return
            parts = self._queue.take(len(idle))
            if parts:
                self._send(min(idle, key=lambda each: each.waiting), parts)

    def _send(self, link: SignerLink, parts: list[Part]) -> None:
        job = parts[0].job
        request = signer_pb2.Request()
        batch = getattr(request, job.kind.value)
        batch.authority_id = job.authority_id
        for part in parts:
            batch.orders.extend(part.job.orders[part.start : part.end])
        link.request(request, lambda reply: self._signed(link, parts, reply))

    def _signed(self, link: SignerLink, parts: list[Part], reply: signer_pb2.Reply | None) -> None:
        _let_go_if_retired(link)
        if reply is None:
            if self._closed:
                for part in parts:
                    part.job.fail(SignerUnavailable("the server is stopping"))
            self._queue.put_back(parts)
        elif reply.HasField("refusal"):
            for part in parts:
                part.job.fail(SignerRefused(reply.refusal))
        else:
            _hand_out(parts, reply)
        self._pump()

    async def _ask_keeper(self, request: signer_pb2.Request) -> signer_pb2.Reply:
        if self._keeper is None:
            raise SignerUnavailable("the signers are being replaced")
        return _accepted(await self._keeper.ask(request))

    def _lost(self, link: SignerLink) -> None:
        """A signer has ended, or has been let go."""
        if link not in self._links:
            return  # it never took part
        self._links.remove(link)
        if self._closed:
            return
        if not link.retired:
            log(_LOGGER, logging.ERROR, "a signer ended and is replaced", pid=link.pid)
        if link is self._keeper:
            self._keeper = next((each for each in self._links if not each.retired), None)
            for other in self._links:
                other.retired = other is not self._keeper
        self._attention.set()

    async def _revive(self) -> None:
        """Have a keeper and all its siblings again."""
        keeper = self._keeper
        if keeper is None:
            keeper = await self._new_keeper()
        for retired in [each for each in self._links if each.retired and not each.waiting]:
            retired.close()
        while self.size < self._settings.processes and not keeper.closed:
            if (sibling := await self._nursery.sibling(keeper)) is None:
                break  # the keeper has ended, which calls for attention on its own
            self._links.append(sibling)
            self._pump()

    async def _new_keeper(self) -> SignerLink:
        restarted = self._nursery.started_before
        keeper, held = await self._nursery.first()
        self._keeper = keeper
        self._links.append(keeper)
        log(_LOGGER, logging.INFO, "first signer started", pid=keeper.pid, authorities=held)
        if restarted:
            if not self._settings.keys_path:
                log(_LOGGER, logging.ERROR, "the keys of all authorities ended with the signers")
            for notify in self._on_restart:
                notify()
        self._pump()
        return keeper


def _results_of(reply: signer_pb2.Reply) -> Sequence[object]:
    if reply.HasField("x509"):
        return reply.x509.results
    return reply.jwt.results if reply.HasField("jwt") else reply.wit.results


def _hand_out(parts: list[Part], reply: signer_pb2.Reply) -> None:
    results = _results_of(reply)
    at = 0
    for part in parts:
        part.job.fulfil(part.start, results[at : at + len(part)])
        at += len(part)


def _let_go_if_retired(link: SignerLink, _: signer_pb2.Reply | None = None) -> None:
    """After any reply: a retired signer ends with the last one that it owed."""
    if link.retired and not link.waiting:
        link.close()


def _accepted(reply: signer_pb2.Reply | None) -> signer_pb2.Reply:
    if reply is None:
        raise SignerUnavailable("the signer ended on this request")
    if reply.HasField("refusal"):
        raise SignerRefused(reply.refusal)
    return reply


def _refs(reply: signer_pb2.Reply) -> list[AuthorityRef]:
    return [AuthorityRef.from_message(each) for each in reply.authorities.authorities]
