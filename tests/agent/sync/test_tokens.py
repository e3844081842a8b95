"""JWT-SVIDs: what comes from the cache, what from the server, and what nobody waits for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import grpc
import pytest

from finial.agent.cache.entries import Entry
from finial.agent.cache.tokens import HeldToken, TokenShelf
from finial.agent.errors import AgentBanned
from finial.agent.sync.tokens import TokenIssuer, TokenUnavailableError
from finial.runtime.rpc import RpcError
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.clock import FakeClock, settle

ENTRY = Entry("e1", SpiffeId("spiffe://example.org/w"), frozenset())


class Server:
    """Issues tokens of 300 s, unless it is down."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.calls = 0
        self.error: RpcError | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def jwt_svid(self, entry: Entry, audience: Any) -> HeldToken:  # noqa: ARG002
        self.calls += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        now = self._clock.time()
        return HeldToken(f"token-{self.calls}", entry.spiffe_id, now, now + 300, "k1")


class Identity:
    generation = 1
    verdict: Exception | None = None

    async def react(self, error: RpcError, generation: int) -> bool:  # noqa: ARG002
        if self.verdict is not None:
            raise self.verdict
        return False


class Lab:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.server = Server(self.clock)
        self.identity = Identity()
        self.issuer = TokenIssuer(
            shelf=TokenShelf(),
            client=cast("Any", self.server),
            identity=cast("Any", self.identity),
            clock=self.clock,
        )

    async def get(self, *audience: str, entry: Entry = ENTRY) -> str:
        answer = self.issuer.get(entry, audience or ("a",))
        return (answer if isinstance(answer, HeldToken) else await answer).token

    def at_once(self) -> str:
        answer = self.issuer.get(ENTRY, ("a",))
        assert isinstance(answer, HeldToken)
        return answer.token


UNAVAILABLE = RpcError(grpc.StatusCode.UNAVAILABLE, "server is away")


async def test_until_half_of_its_life_a_token_is_used_again_without_waiting() -> None:
    lab = Lab()
    assert await lab.get() == "token-1"
    await lab.clock.advance(149)
    assert lab.at_once() == "token-1"
    await settle()
    assert lab.server.calls == 1


async def test_past_half_of_its_life_it_is_refreshed_behind_the_callers_back() -> None:
    lab = Lab()
    await lab.get()
    await lab.clock.advance(151)
    assert lab.at_once() == "token-1"
    await settle()
    assert lab.at_once() == "token-2"
    assert lab.server.calls == 2


async def test_a_refresh_that_fails_is_nobodys_error_while_the_token_is_valid() -> None:
    lab = Lab()
    await lab.get()
    lab.server.error = UNAVAILABLE
    await lab.clock.advance(200)
    for _ in range(3):
        assert lab.at_once() == "token-1"
        await settle()
        await lab.clock.advance(1)
    assert lab.server.calls == 4


async def test_a_server_that_is_away_is_not_asked_again_for_each_caller() -> None:
    lab = Lab()
    await lab.get()
    lab.server.error = UNAVAILABLE
    await lab.clock.advance(200)
    for _ in range(100):
        assert lab.at_once() == "token-1"
        await settle()
    assert lab.server.calls == 2


async def test_a_refusal_of_one_identity_does_not_keep_the_others_from_being_refreshed() -> None:
    lab = Lab()
    await lab.get()
    await lab.clock.advance(200)
    lab.server.error = RpcError(grpc.StatusCode.PERMISSION_DENIED, "not this one")
    with pytest.raises(TokenUnavailableError):
        await lab.get(entry=replace(ENTRY, id="e2", spiffe_id=SpiffeId("spiffe://example.org/x")))
    lab.server.error = None
    assert lab.at_once() == "token-1"
    await settle()
    assert lab.at_once() == "token-3"


async def test_in_its_last_tenth_the_caller_waits_and_gets_the_fresh_one() -> None:
    lab = Lab()
    await lab.get()
    await lab.clock.advance(271)
    assert not isinstance(answer := lab.issuer.get(ENTRY, ("a",)), HeldToken)
    assert (await answer).token == "token-2"


async def test_in_its_last_tenth_the_old_one_must_do_if_the_server_is_away() -> None:
    lab = Lab()
    await lab.get()
    lab.server.error = UNAVAILABLE
    await lab.clock.advance(271)
    assert await lab.get() == "token-1"
    await lab.clock.advance(29)
    with pytest.raises(TokenUnavailableError, match="could not fetch JWT-SVID: server is away"):
        await lab.get()


async def test_in_its_last_tenth_a_silent_server_is_waited_for_only_for_a_moment() -> None:
    lab = Lab()
    await lab.get()
    await lab.clock.advance(271)
    lab.server.gate.clear()
    waiting = asyncio.create_task(lab.get())
    await lab.clock.advance(1.9)
    assert not waiting.done()
    await lab.clock.advance(0.1)
    assert await waiting == "token-1"
    lab.server.gate.set()
    await settle()
    assert lab.at_once() == "token-2"


async def test_a_token_that_expires_while_its_successor_is_waited_for_is_not_handed_out() -> None:
    lab = Lab()
    await lab.get()
    await lab.clock.advance(299)
    lab.server.gate.clear()
    waiting = asyncio.create_task(lab.get())
    await lab.clock.advance(5)
    assert not waiting.done()
    lab.server.gate.set()
    assert await waiting == "token-2"


async def test_callers_of_one_token_share_one_order() -> None:
    lab = Lab()
    lab.server.gate.clear()
    waiting = [asyncio.create_task(lab.get("a", "b")) for _ in range(5)]
    waiting += [asyncio.create_task(lab.get("b", "a")) for _ in range(5)]
    await settle()
    lab.server.gate.set()
    assert set(await asyncio.gather(*waiting)) == {"token-1"}
    assert lab.server.calls == 1


async def test_a_caller_that_leaves_takes_the_order_from_nobody() -> None:
    lab = Lab()
    lab.server.gate.clear()
    leaving = asyncio.create_task(lab.get())
    staying = asyncio.create_task(lab.get())
    await settle()
    leaving.cancel()
    await settle()
    lab.server.gate.set()
    assert await staying == "token-1"


async def test_other_audiences_and_identities_have_tokens_of_their_own() -> None:
    lab = Lab()
    other = replace(ENTRY, id="e2", spiffe_id=SpiffeId("spiffe://example.org/x"))
    tokens = [await lab.get("a"), await lab.get("b"), await lab.get("a", entry=other)]
    assert len(set(tokens)) == 3


async def test_entries_that_want_a_jti_are_never_cached() -> None:
    lab = Lab()
    entry = replace(ENTRY, include_jti=True)
    assert await lab.get(entry=entry) == "token-1"
    assert await lab.get(entry=entry) == "token-2"


async def test_a_verdict_on_the_agent_ends_the_issuer() -> None:
    lab = Lab()
    running = asyncio.create_task(lab.issuer.run())
    await settle()
    lab.server.error = UNAVAILABLE
    lab.identity.verdict = AgentBanned("banned")
    with pytest.raises(AgentBanned):
        await lab.get()
    with pytest.raises(AgentBanned):
        await running


async def test_stopping_cancels_what_is_under_way() -> None:
    lab = Lab()
    running = asyncio.create_task(lab.issuer.run())
    lab.server.gate.clear()
    waiting = asyncio.create_task(lab.get())
    await settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(asyncio.CancelledError):
        await waiting
