"""PostgreSQL goes away under two servers in the midst of their work, and comes back."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest

from finial.api.spire import types_pb2 as types
from finial.api.spire.server import agent_pb2, agent_pb2_grpc
from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.runtime.rpc import RpcError
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.daemon import comes_true, value_of
from tests.fakes.lab import empty_lab
from tests.fakes.several import authorized, connected, join, reason_for_refusal, two_servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from finial.runtime.rpc import Channel
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.spiffe_id import SpiffeId
    from tests.fakes.lab import Lab
    from tests.fakes.postgres import Pair

pytestmark = pytest.mark.timeout(240)

AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN}
"""Of which the last says that nobody knows whether the commit was made: it is not acknowledged."""


class Writers:
    """Clients that make entries at both servers without a pause, whatever comes of it."""

    def __init__(self, labs: tuple[Lab, Lab]) -> None:
        self._labs = labs
        self.acknowledged: set[str] = set()
        self.refusals = 0

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(self._write(lab)) for lab in self._labs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended

    async def _write(self, lab: Lab) -> None:
        for number in range(1_000_000):
            try:
                made = await lab.create_entry("/node", f"/{lab.port}/{number}")
            except grpc.aio.AioRpcError as error:
                if error.code() not in AWAY:
                    raise
                self.refusals += 1
                await asyncio.sleep(0.02)
            else:
                self.acknowledged.add(made)

    async def have_written(self, more: int = 10) -> None:
        """Wait until so many more entries are acknowledged."""
        wanted = len(self.acknowledged) + more
        await comes_true(
            lambda: value_of(len(self.acknowledged) >= wanted),
            patience=60,
            told=lambda: "".join(lab.server.log()[-2000:] for lab in self._labs),
        )

    async def have_been_refused(self) -> None:
        before = self.refusals
        await comes_true(lambda: value_of(self.refusals > before), patience=60)


async def restart(pair: Pair) -> None:
    await asyncio.to_thread(pair.primary.stop)
    await asyncio.to_thread(pair.primary.start)


async def crash(pair: Pair) -> None:
    await asyncio.to_thread(pair.primary.kill)
    await asyncio.to_thread(pair.primary.start)


async def hang_up(pair: Pair) -> None:
    ended = 0
    for _ in range(5):
        ended += await asyncio.to_thread(pair.primary.hang_up)
        await asyncio.sleep(0.05)
    assert ended >= 2  # some may not be back yet when they would be hung up on again


async def fail_over(pair: Pair) -> None:
    await asyncio.to_thread(pair.fail_over)


@pytest.mark.parametrize("happens", [restart, crash, hang_up, fail_over])
async def test_no_acknowledged_write_is_lost_and_work_goes_on_by_itself(
    postgres_pair: Pair, happens: Callable[[Pair], Awaitable[None]]
) -> None:
    await asyncio.to_thread(postgres_pair.synchronous)
    async with two_servers(postgres_pair.dsn()) as labs:
        bundle = await labs[0].bundle()
        writers = Writers(labs)
        async with writers.at_work():
            await writers.have_written()
            await happens(postgres_pair)
            await writers.have_written(20)
        for lab in labs:
            assert writers.acknowledged <= await lab.entry_ids()
            assert await lab.bundle() == bundle
            # A token made at one server is good at the other: reads, writes and the feed go on.
            await join(lab, bundle)


@asynccontextmanager
async def away(pair: Pair, how: str) -> AsyncIterator[None]:
    primary = pair.primary
    leave, come_back = (
        (primary.stop, primary.start) if how == "stopped" else (primary.pause, primary.resume)
    )
    await asyncio.to_thread(leave)
    try:
        yield
    finally:
        await asyncio.to_thread(come_back)


@pytest.mark.parametrize("how", ["stopped", "paused"])
async def test_memory_answers_while_the_database_is_away_and_writes_do_not_hang(
    postgres_pair: Pair, how: str
) -> None:
    async with two_servers(postgres_pair.dsn()) as labs:
        one, other = labs
        bundle = await one.bundle()
        svid = await join(one, bundle)
        await one.create_entry(svid.id.path, "/db")
        evicted = await join(one, bundle)
        await evict(one, evicted.id)
        async with connected(other, bundle, svid) as channel:
            await served(channel, "/db")
            async with away(postgres_pair, how):
                begun = time.monotonic()
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await other.create_entry("/node", "/late")
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
                assert time.monotonic() - begun < (5 if how == "stopped" else 29)
                # On old connections and on new ones, and for the gate as for the sync.
                assert await authorized(channel) == {"/db"}
                assert await other.bundle() == bundle
                assert await one.bundle() == bundle
                assert await reason_for_refusal(one, bundle, svid) == 0
                async with connected(one, bundle) as nobody:
                    with pytest.raises(RpcError, match="authorization denied"):
                        await authorized(nobody)
                # Who may have attested elsewhere a moment ago gets no verdict that is a guess.
                async with connected(one, bundle, evicted) as stranger:
                    with pytest.raises(RpcError) as put_off:
                        await authorized(stranger)
                assert put_off.value.code() is grpc.StatusCode.UNAVAILABLE
            await comes_true(lambda: _made(other, "/after"), patience=60, told=other.server.log)
            await comes_true(lambda: _made(one, "/after-that"), patience=60, told=one.server.log)
            unknown = PermissionDeniedDetails.AGENT_NOT_ATTESTED
            assert await reason_for_refusal(one, bundle, evicted) == unknown
            made = await _made(one, "/db2", parent=svid.id.path)
            assert made
            await served(channel, "/db", "/db2")


async def evict(lab: Lab, agent: SpiffeId) -> None:
    who = types.SPIFFEID(trust_domain=agent.trust_domain.name, path=agent.path)
    request = agent_pb2.DeleteAgentRequest(id=who)
    await lab.call(agent_pb2_grpc.AgentStub, "DeleteAgent", request)


async def _made(lab: Lab, path: str, parent: str = "/node") -> str:
    """The ID of a new entry; empty while the database is away."""
    try:
        return await lab.create_entry(parent, path)
    except grpc.aio.AioRpcError as error:
        if error.code() not in AWAY:
            raise
        return ""


async def served(channel: Channel, *paths: str) -> None:
    """Wait until an agent is given exactly these entries."""
    await comes_true(lambda: authorized(channel), lambda found: found == set(paths))


async def test_what_a_promoted_replica_never_got_is_forgotten_by_every_server(
    postgres_pair: Pair,
) -> None:
    async with two_servers(postgres_pair.dsn()) as (one, other):
        bundle = await one.bundle()
        svid = await join(one, bundle)
        await one.create_entry(svid.id.path, "/db")
        await asyncio.to_thread(postgres_pair.caught_up)
        async with connected(one, bundle, svid) as here, connected(other, bundle, svid) as there:
            # The replica gets nothing of this any more; nobody waits for it.
            await asyncio.to_thread(postgres_pair.replica.stop)
            lost = {f"/lost{number}" for number in range(5)}
            for path in lost:
                await one.create_entry(svid.id.path, path)
            stranger = await join(one, bundle)
            for channel in (here, there):
                await served(channel, "/db", *lost)
            await asyncio.to_thread(postgres_pair.primary.kill)
            await asyncio.to_thread(postgres_pair.replica.start)
            await asyncio.to_thread(postgres_pair.replica.promote)
            # Other changes get the lost ones' revisions.
            await comes_true(lambda: _made(other, "/x"), patience=60, told=other.server.log)
            for channel in (here, there):
                await served(channel, "/db")
            new = {f"/new{number}" for number in range(9)}
            for path in new:
                await other.create_entry(svid.id.path, path)
            for channel in (here, there):
                await served(channel, "/db", *new)
            unknown = PermissionDeniedDetails.AGENT_NOT_ATTESTED
            for lab in (one, other):
                assert await reason_for_refusal(lab, bundle, stranger) == unknown


async def test_a_server_of_which_a_promoted_replica_knows_nothing_publishes_itself_anew(
    postgres_pair: Pair,
) -> None:
    dsn = postgres_pair.dsn()
    async with empty_lab(postgres=dsn) as one, empty_lab(postgres=dsn) as other:
        await one.server.start()
        await asyncio.to_thread(postgres_pair.caught_up)
        await asyncio.to_thread(postgres_pair.replica.stop)
        await other.server.start()
        bundle = await other.bundle()
        assert len(bundle.x509_authorities) == 2
        await asyncio.to_thread(postgres_pair.primary.kill)
        await asyncio.to_thread(postgres_pair.replica.start)
        assert await journals(postgres_pair) == 2
        await asyncio.to_thread(postgres_pair.replica.promote)
        await comes_true(lambda: journals(postgres_pair), lambda found: found == 4)
        for lab in (one, other):
            await comes_true(
                lab.bundle,
                lambda found: _authorities(found) == _authorities(bundle),
                patience=60,
                told=other.server.log,
            )
        verify_chain(await other.mint("/x"), bundle, other.reach.clock.time())
        # Nor has it lost its place: it comes back as the server that it was.
        await other.server.kill()
        await other.server.start()
        assert _authorities(await one.bundle()) == _authorities(bundle)


async def journals(pair: Pair) -> int:
    """How many journals the promoted replica has: each server has two, by kind of authority."""
    counting = "SELECT count(*) FROM server_journals"
    ((found,),) = await asyncio.to_thread(pair.replica.execute, counting)
    return int(found)


def _authorities(bundle: Bundle) -> set[object]:
    keys = (each.key_id for each in bundle.jwt_authorities)
    return {*(each.der for each in bundle.x509_authorities), *keys}
