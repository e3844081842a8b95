"""JWT-SVIDs for callers: from the cache while they are good, from the server when they are not.

Past half of its life a token is still handed out, and a fresh one is fetched behind the caller's
back; in its last tenth the caller waits for the server a moment, and gets the old one only if that
fails. While the server cannot be had it is not asked again for each caller of a valid token.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import grpc

from finial.agent.cache.tokens import HeldToken, TokenShelf, token_key
from finial.agent.sync.server import ProtocolError
from finial.agent.sync.waiting import first_of
from finial.runtime.logging import log
from finial.runtime.rpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from finial.agent.cache.entries import Entry
    from finial.agent.sync.identity import AgentIdentity
    from finial.agent.sync.server import ServerClient
    from finial.runtime.clock import Clock

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that a caller waits for a token's successor while the token itself is still valid."""
REST = 1.0
"""Seconds without a refresh after one for which the server could not be had."""
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class TokenUnavailableError(Exception):
    """The server did not issue the JWT-SVID; the message says why and is fit for the caller."""


class TokenIssuer:
    """Answers from the shelf without waiting where it can; one order at a time for each token."""

    def __init__(
        self,
        *,
        shelf: TokenShelf,
        client: ServerClient,
        identity: AgentIdentity,
        clock: Clock,
    ) -> None:
        self._shelf = shelf
        self._client = client
        self._identity = identity
        self._clock = clock
        self._under_way: dict[bytes, asyncio.Task[HeldToken]] = {}
        self._rest_until = clock.monotonic()
        self._failure: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Own the orders until cancelled. Raises AgentError when one says the agent must end."""
        self._failure = asyncio.get_running_loop().create_future()
        try:
            await self._failure
        finally:
            for task in tuple(self._under_way.values()):
                task.cancel()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def get(self, entry: Entry, audience: Sequence[str]) -> HeldToken | Awaitable[HeldToken]:
        """Return a token for the entry: at once, or to be awaited.

        Awaiting raises TokenUnavailableError.
        """
        if entry.include_jti:
            return self._order_unshared(entry, audience)
        now = self._clock.time()
        key = token_key(entry.spiffe_id, audience)
        held = self._shelf.get(key, now)
        if held is None:
            return self._wait_for(key, entry, audience)
        if not held.wants_refresh(now) or self._clock.monotonic() < self._rest_until:
            return held
        if held.nearly_expired(now):
            return self._wait_or(held, key, entry, audience)
        _ = self._order(key, entry, audience)
        return held

    async def _wait_or(
        self, held: HeldToken, key: bytes, entry: Entry, audience: Sequence[str]
    ) -> HeldToken:
        order = self._order(key, entry, audience)
        await first_of(asyncio.wait({order}), self._clock.sleep(PATIENCE))
        if held.valid(self._clock.time()) and not _filled(order):
            return held
        return await asyncio.shield(order)

    def _wait_for(
        self, key: bytes, entry: Entry, audience: Sequence[str]
    ) -> asyncio.Future[HeldToken]:
        # Shielded: a caller that goes away leaves the order to the others who wait for it.
        return asyncio.shield(self._order(key, entry, audience))

    def _order(self, key: bytes, entry: Entry, audience: Sequence[str]) -> asyncio.Task[HeldToken]:
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._fill(key, entry, tuple(audience)))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        return task

    def _done(self, key: bytes, task: asyncio.Task[HeldToken]) -> None:
        del self._under_way[key]
        if task.cancelled():
            return
        error = task.exception()  # retrieved here: a background order has no other reader
        if error is None or isinstance(error, TokenUnavailableError):
            return
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def _fill(self, key: bytes, entry: Entry, audience: Sequence[str]) -> HeldToken:
        held = await self._fetch(entry, audience)
        self._shelf.put(key, held)
        return held

    async def _order_unshared(self, entry: Entry, audience: Sequence[str]) -> HeldToken:
        return await self._fetch(entry, audience)

    async def _fetch(self, entry: Entry, audience: Sequence[str]) -> HeldToken:
        generation = self._identity.generation
        try:
            try:
                return await self._client.jwt_svid(entry, audience)
            except RpcError as error:
                if not await self._identity.react(error, generation):
                    raise
                return await self._client.jwt_svid(entry, audience)
        except RpcError as error:
            reason = error.details() or error.code().name
            if error.code() in _AWAY:
                self._rest_until = self._clock.monotonic() + REST
        except ProtocolError as error:
            reason = str(error)
        log(logger, logging.ERROR, "JWT-SVID was not issued", entry_id=entry.id, error=reason)
        raise TokenUnavailableError(f"could not fetch JWT-SVID: {reason}")


def _filled(order: asyncio.Task[HeldToken]) -> bool:
    """Whether there is something to be had from an order: its token, or a verdict on the agent."""
    if not order.done() or order.cancelled():
        return False
    return not isinstance(order.exception(), TokenUnavailableError)
