"""Orders the WIT-SVIDs that workloads ask for, a fresh key each."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, NamedTuple

import grpc

from finial.agent import keys, rotation
from finial.agent.sync.batches import (
    JUDGED_ON_THE_LOOP,
    ON_THE_LOOP,
    RETRY_BASE,
    RETRY_CAP,
    Batches,
    inline_or_thread,
)
from finial.agent.sync.pace import Pace
from finial.agent.sync.server import Unissued
from finial.runtime.alarm import Alarm
from finial.runtime.backoff import Backoff
from finial.runtime.logging import log
from finial.runtime.rpc import RpcError
from finial.spiffe import public_key, wit_svid
from finial.spiffe.bundle import BundleSet
from finial.spiffe.errors import WitSvidError
from finial.spiffe.jose.algorithm import algorithm_for
from finial.spiffe.private_jwk import to_private_jwk

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from finial.agent.cache.entries import Entry
    from finial.agent.cache.wits import Wits
    from finial.agent.cache.workloads import Workloads
    from finial.agent.sync.identity import AgentIdentity
    from finial.agent.sync.server import ServerClient
    from finial.runtime.clock import Clock
    from finial.spiffe.bundle import BundleSource

logger = logging.getLogger(__name__)

BATCH = ON_THE_LOOP


class _UnsupportedError(Exception):
    """The server says that it issues none."""


class _Order(NamedTuple):
    """A workload's new key: the public half for the server, the private one as a JWK."""

    public: bytes
    algorithm: str
    jwk: str

    @classmethod
    def new(cls, key_type: keys.KeyType) -> _Order:
        key = keys.new_key(key_type)
        algorithm = algorithm_for(key).name
        jwk = {**to_private_jwk(key), "alg": algorithm}
        return cls(keys.public_der(key), algorithm, json.dumps(jwk, separators=(",", ":")))

    def __repr__(self) -> str:
        return f"_Order({self.algorithm})"


class WitIssuer:
    """Keeps fresh what is asked for of WIT-SVIDs.

    `alarm` is rung when something may have become due; `stored` is called when SVIDs have come in.
    """

    def __init__(
        self,
        *,
        workloads: Workloads,
        wits: Wits,
        client: ServerClient,
        identity: AgentIdentity,
        clock: Clock,
        rng: random.Random,
        key_type: keys.KeyType,
        stored: Callable[[], None],
    ) -> None:
        self._workloads = workloads
        self._wits = wits
        self._client = client
        self._clock = clock
        self._rng = rng
        self._key_type = key_type
        self._stored = stored
        self._batches = Batches(
            "WIT-SVID",
            largest=BATCH,
            issue=self._issue,
            mark_failed=wits.mark_failed,
            workloads=workloads,
            identity=identity,
        )
        self._pace = Pace()
        self.alarm = Alarm()
        wits.on_work = self.alarm.ring

    async def run(self) -> None:
        """Order what is due, wait for the next, for ever. Raises AgentError."""
        backoff = Backoff(self._clock, self._rng, base=RETRY_BASE, cap=RETRY_CAP)
        while True:
            due = self._paced(self._wits.due(self._clock.time()))
            if not due:
                await self._wait_for_work()
            elif await self._order(due):
                backoff.reset()
            else:
                # Not to be cut short: each workload that comes back at once would do so.
                await backoff.wait()

    def _paced(self, due: Sequence[Entry]) -> list[Entry]:
        now = self._clock.time()
        return self._pace.choose(
            due, lambda entry: self._wits.can_wait(entry, now), self._clock.monotonic()
        )

    async def _wait_for_work(self) -> None:
        work_at = self._wits.next_work()
        if self._pace.held_back:
            await self.alarm.wait(self._clock.sleep(self._pace.wait(self._clock.monotonic())))
        elif work_at is None:
            await self.alarm.wait()
        else:
            await self.alarm.wait(self._clock.sleep_until(work_at))

    async def _order(self, due: Sequence[Entry]) -> bool:
        try:
            return await self._batches.order(due)
        except _UnsupportedError as error:
            log(logger, logging.WARNING, "server issues no WIT-SVIDs", error=str(error))
            self._workloads.refuse_wits()
            return True

    async def _issue(self, batch: Sequence[Entry]) -> bool:
        slow = self._key_type is keys.KeyType.RSA_2048
        orders = await inline_or_thread(self._make_orders, batch, most=0 if slow else ON_THE_LOOP)
        results = await self._answers(batch, orders)
        pending = list(zip(batch, orders, results, strict=True))
        judged = await inline_or_thread(self._judge, pending, most=JUDGED_ON_THE_LOOP)
        now = self._clock.time()
        filled = []
        failed = []
        for entry, order, svid in judged:
            if isinstance(svid, str):
                failed.append(entry.id)
                self._batches.complain(entry, svid)
            else:
                rotate_at = rotation.rotation_time(now, svid.expires_at, self._rng)
                filled.append((entry, svid, order.jwk, rotate_at))
        self._wits.put(filled)
        self._wits.mark_failed(failed)
        self._stored()
        log(logger, logging.DEBUG, "WIT-SVIDs received", count=len(filled))
        # By an authority that is tainted already: the next one would be, too, without a pause.
        held = (self._wits.held(entry.id) for entry, *_ in filled)
        return not failed and not any(one is not None and one.tainted for one in held)

    async def _answers(
        self, batch: Sequence[Entry], orders: Sequence[_Order]
    ) -> list[str | Unissued]:
        try:
            return await self._client.wit_svids(
                [
                    (entry.id, each.public, each.algorithm)
                    for entry, each in zip(batch, orders, strict=True)
                ]
            )
        except RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise _UnsupportedError(str(error)) from None
            raise

    def _judge(
        self, pending: Sequence[tuple[Entry, _Order, str | Unissued]]
    ) -> list[tuple[Entry, _Order, wit_svid.WitSvid | str]]:
        """Read each token; what cannot be used is a message instead."""
        own = self._workloads.bundles.own
        trusted = BundleSet(() if own is None else (own.bundle,))
        now = self._clock.time()
        judged: list[tuple[Entry, _Order, wit_svid.WitSvid | str]] = []
        for entry, order, result in pending:
            try:
                judged.append((entry, order, _svid_for(entry, order, result, trusted, now)))
            except WitSvidError as error:
                judged.append((entry, order, str(error)))
        return judged

    def _make_orders(self, batch: Sequence[Entry]) -> list[_Order]:
        return [_Order.new(self._key_type) for _ in batch]


def _svid_for(
    entry: Entry, order: _Order, result: str | Unissued, trusted: BundleSource, now: float
) -> wit_svid.WitSvid:
    """The SVID that was ordered, and not merely one that the server sent.

    Raises:
        WitSvidError: there is none, or it is not valid by the bundle that workloads get, has
            expired (which would be due again without a pause), or is of another ID or key.
    """
    if isinstance(result, Unissued):
        raise WitSvidError(result.message)
    svid = wit_svid.validate(result, trusted, now)
    if svid.expires_at <= now:
        raise WitSvidError("token has expired")
    if svid.id != entry.spiffe_id:
        raise WitSvidError(f"server issued {svid.id} instead of {entry.spiffe_id}")
    if svid.proof_algorithm != order.algorithm or public_key.to_spki(svid.key) != order.public:
        raise WitSvidError("server bound the token to another key")
    return svid
