"""kill -9 of the server in the midst of its work."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
from cryptography import x509

from finial.spiffe import jwt_svid
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.daemon import comes_true, value_of
from tests.fakes.grpcio import workload
from tests.fakes.lab import Lab, server_lab, whole_lab
from tests.fakes.server_api import attest_with, csr

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass
class Acknowledged:
    """What clients have been told is done."""

    entries: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    chains: list[tuple[bytes, ...]] = field(default_factory=list)
    jwts: list[str] = field(default_factory=list)

    def enough(self) -> bool:
        return min(map(len, (self.entries, self.tokens, self.chains, self.jwts))) >= 10


async def until_it_is_gone(work: Callable[[int], Awaitable[None]]) -> None:
    """Do it again and again until the server is gone."""
    for number in range(100_000):
        try:
            await work(number)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017
            return


async def work_until_killed(lab: Lab) -> Acknowledged:
    """Have entries, tokens and SVIDs made by several clients, and kill the server among it."""
    done = Acknowledged()

    async def create(number: int) -> None:
        done.entries.add(await lab.create_entry("/node", f"/w/{number}"))

    async def create_too(number: int) -> None:
        done.entries.add(await lab.create_entry("/node", f"/v/{number}"))

    async def token(_: int) -> None:
        done.tokens.add(await lab.token())

    async def mint(number: int) -> None:
        done.chains.append(await lab.mint(f"/m/{number}"))

    async def mint_token(number: int) -> None:
        done.jwts.append(await lab.mint_token(f"/m/{number}"))

    works = (create, create_too, token, mint, mint_token)
    tasks = [asyncio.ensure_future(until_it_is_gone(work)) for work in works]
    await comes_true(lambda: value_of(done.enough()), told=lab.server.log)
    await lab.server.kill()
    await asyncio.gather(*tasks)
    return done


async def test_what_was_acknowledged_is_there_after_a_kill() -> None:
    async with server_lab() as lab:
        before = await lab.bundle()
        done = await work_until_killed(lab)
        await lab.server.start()
        assert done.entries <= await lab.entry_ids()
        bundle = await lab.bundle()
        assert bundle.x509_authorities == before.x509_authorities
        assert bundle.jwt_authorities == before.jwt_authorities
        now = lab.reach.clock.time()
        for chain in done.chains:
            verify_chain(chain, bundle, now)
        for token in done.jwts:
            jwt_svid.validate(token, bundle, "test", now)
        await each_joins_once(lab, done.tokens)
        assert {serial(chain) for chain in done.chains} <= recorded(lab)


async def each_joins_once(lab: Lab, tokens: set[str]) -> None:
    nobody = lab.reach.connect(await lab.bundle())
    with contextlib.suppress(KeyError):
        for token in list(tokens)[:10]:
            assert (await attest_with(nobody, token, csr())).svid.cert_chain
    await nobody.close()


def serial(chain: tuple[bytes, ...]) -> str:
    return str(x509.load_der_x509_certificate(chain[0]).serial_number)


def recorded(lab: Lab) -> set[str]:
    """What the server has on record as issued."""
    with closing(sqlite3.connect(lab.database)) as connection:
        return {row[0] for row in connection.execute("SELECT serial_or_jti FROM issued_svids")}


async def test_the_agent_serves_on_and_its_rotation_goes_on_after_a_kill() -> None:
    async with whole_lab(agent_ttl="12s", x509_ttl="12s") as lab:
        async with workload(lab.agent.socket) as client:
            stream = client.stream("FetchX509SVID")
            first = await stream.read()
            agent_before = lab.agent_svid()
            await lab.server.kill()
            assert await lab.identities() == ["/db"]
            await lab.server.start()
            await lab.add("/later")
            async with asyncio.timeout(20):
                while len((latest := await stream.read()).svids) < 2:
                    pass
                # Both the workload's SVID and the agent's own are renewed at half of 12 seconds.
                while latest.svids[0].x509_svid == first.svids[0].x509_svid:
                    latest = await stream.read()
        await comes_true(lambda: value_of(lab.agent_svid() != agent_before), told=lab.agent.log)
        await lab.add("/last")
        await lab.serving("/db", "/last", "/later")
        assert lab.agent.log().count("node attested") == 1
