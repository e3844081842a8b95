"""The same over uvloop, whose transports and TLS are not asyncio's."""

import asyncio
import time
from pathlib import Path

import pytest
import uvloop

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import (
    Channel,
    ClientTls,
    OpenGate,
    RpcError,
    Server,
    ServerTls,
    TlsCaller,
    TlsIdentity,
    UnixCaller,
)
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import FakeCa
from tests.runtime.rpc.echo import Echo, Stub

SERVER = "spiffe://example.org/spire/server"
AGENT = "spiffe://example.org/spire/agent/one"


async def exercise(stub: Stub, echo: Echo) -> None:
    async def words() -> object:
        for word in (b"a", b"b"):
            yield word

    large = bytes(3_000_000)
    assert await stub.Plain(large) == large
    assert [answer async for answer in stub.Count(b"3")] == [b"0", b"1", b"2"]
    assert await stub.Total(words()) == b"2"
    assert [answer async for answer in stub.Chat(words())] == [b"A", b"B"]
    watching = stub.Watch(b"first")
    assert await watching.read() == b"first"
    echo.push.send(b"second")
    assert await watching.read() == b"second"
    watching.cancel()
    await echo.cancelled.wait()
    echo.cancelled.clear()
    flood = stub.Flood(b"100000")
    await flood.read()
    await asyncio.sleep(0.1)
    assert echo.sent < 60
    flood.cancel()
    await echo.cancelled.wait()
    answers = await asyncio.gather(*(stub.Later(b"%d" % n) for n in range(100)))
    assert answers == [b"%d" % n for n in range(100)]


async def over_unix(folder: Path) -> None:
    echo, server = Echo(), Server(clock=SystemClock(), gate=OpenGate())
    echo.register(server)
    await server.listen_unix(folder / "s", mode=0o600)
    async with Channel(f"unix:{folder / 's'}", clock=SystemClock()) as channel:
        await exercise(Stub(channel), echo)
    assert isinstance(echo.contexts[0].caller, UnixCaller)
    await server.drain(1)


async def over_tls() -> None:
    ca = FakeCa(now=time.time())
    own, agent = ca.issue(SERVER), ca.issue(AGENT)
    stranger = FakeCa(now=time.time()).issue(AGENT)
    roots = (ca.bundle(),)
    identity = TlsIdentity(own.chain, own.key_pkcs8)
    echo, server = Echo(), Server(clock=SystemClock(), gate=OpenGate())
    echo.register(server)
    server_tls = ServerTls(lambda: identity, lambda: roots, SystemClock())
    port = await server.listen_tcp("127.0.0.1", 0, server_tls)

    def channel(svid: object, server_id: str = SERVER) -> Channel:
        client = None if svid is None else TlsIdentity(svid.chain, svid.key_pkcs8)  # type: ignore[attr-defined]
        wanted = SpiffeId.parse(server_id)
        tls = ClientTls(lambda: client, lambda: roots, wanted, SystemClock())
        return Channel(f"127.0.0.1:{port}", clock=SystemClock(), tls=tls)

    async with channel(agent) as good:
        await exercise(Stub(good), echo)
        caller = echo.contexts[-1].caller
        assert isinstance(caller, TlsCaller)
        assert caller.svid is not None
        assert str(caller.svid.id) == AGENT
    async with channel(None) as nobody:
        await Stub(nobody).Plain(b"x")
        assert echo.contexts[-1].caller.svid is None
    seen = len(echo.contexts)
    for wrong in (channel(stranger), channel(None, "spiffe://example.org/other")):
        async with wrong:
            with pytest.raises(RpcError, match="UNAVAILABLE"):
                await Stub(wrong).Plain(b"x")
    assert len(echo.contexts) == seen
    await server.drain(1)


def test_unix_sockets_work_over_uvloop(folder: Path) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(over_unix(folder))


def test_tls_works_over_uvloop() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(over_tls())
