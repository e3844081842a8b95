"""How long a connection lives: its age, its grace, and its client's certificate."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from h2.events import ConnectionTerminated, DataReceived, TrailersReceived

from finial.runtime.rpc import (
    Channel,
    ClientTls,
    Limits,
    OpenGate,
    RpcError,
    Server,
    ServerTls,
    TlsIdentity,
)
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import eventually, pass_time
from tests.runtime.rpc.echo import Echo, Stub
from tests.runtime.rpc.wire import Wire, until

SERVER = "spiffe://example.org/spire/server"
AGENT = "spiffe://example.org/spire/agent/one"


def serving(echo: Echo, clock: FakeClock, **limits: Any) -> Server:
    server = Server(clock=clock, gate=OpenGate(), limits=Limits(**limits))
    echo.register(server)
    return server


async def test_ages_spread_both_ways_and_stay_within_their_share(folder: Path, echo: Echo) -> None:
    clock = FakeClock()
    server = serving(echo, clock, connection_age=100, connection_age_jitter=0.1)
    await server.listen_unix(folder / "s", mode=0o600)
    wires = [await Wire.connect(folder / "s") for _ in range(60)]
    for wire in wires:
        await wire.until(DataReceived, stream_id=wire.call(b"x"))

    async def left() -> int:
        for _ in range(20):
            await asyncio.sleep(0.001)
            for wire in wires:
                if not wire.reader.at_eof() and wire.reader._buffer:  # type: ignore[attr-defined]
                    wire.h2.receive_data(await wire.reader.read(65536))
                    wire.flush()
        return len(server.connections)

    await clock.advance(89.9)
    assert await left() == 60
    await clock.advance(10)
    assert 10 <= await left() <= 50
    await clock.advance(10.2)
    await left()
    await until(lambda: not server.connections)
    await server.drain(0)
    for wire in wires:
        wire.close()


async def test_calls_go_on_during_the_grace_and_are_cut_after_it(folder: Path, echo: Echo) -> None:
    clock = FakeClock()
    server = serving(
        echo, clock, connection_age=100, connection_age_jitter=0, connection_age_grace=10
    )
    await server.listen_unix(folder / "s", mode=0o600)
    wire = await Wire.connect(folder / "s")
    stream_id = wire.call(b"x", path=b"/test.Echo/Watch")
    await wire.until(DataReceived, stream_id=stream_id)
    await clock.advance(100)
    first = await wire.until(ConnectionTerminated)
    assert (first.error_code, first.last_stream_id) == (0, 2**31 - 1)
    between = wire.call(b"sent before the second GOAWAY was read")
    second = await wire.until(ConnectionTerminated)
    assert second.last_stream_id in (stream_id, between)
    echo.push.send(b"in the grace")
    assert (await wire.until(DataReceived, stream_id=stream_id)).data.endswith(b"in the grace")
    await clock.advance(9.9)
    assert not echo.push.done
    await clock.advance(0.2)
    ended = await wire.until(TrailersReceived, stream_id=stream_id)
    assert dict(ended.headers)[b"grpc-status"] == b"14"
    await wire.closed()
    await until(lambda: not server.connections)
    await server.drain(0)


async def test_grpcio_moves_over_to_a_new_connection_without_an_error(
    folder: Path, echo: Echo
) -> None:
    clock = FakeClock()
    server = serving(echo, clock, connection_age=100, connection_age_jitter=0)
    await server.listen_unix(folder / "s", mode=0o600)
    async with grpc.aio.insecure_channel(f"unix:{folder / 's'}") as channel:
        stub = Stub(channel)
        for _ in range(5):
            assert await stub.Plain(b"x", timeout=10) == b"x"
            await clock.advance(100)
            await eventually(lambda: not server.connections)
    assert len({id(context._connection) for context in echo.contexts}) == 5
    await server.drain(0)


async def test_a_client_that_does_not_answer_the_ping_is_not_waited_for(
    folder: Path, echo: Echo
) -> None:
    clock = FakeClock()
    server = serving(echo, clock, connection_age=100, connection_age_jitter=0)
    await server.listen_unix(folder / "s", mode=0o600)
    wire = await Wire.connect(folder / "s")
    await wire.until(DataReceived, stream_id=wire.call(b"x"))
    await clock.advance(100)
    assert server.connections
    await clock.advance(1.1)
    await until(lambda: not server.connections)
    wire.close()
    await server.drain(0)


class TlsLab:
    """A server over TLS, and a client of a certificate that lives 1,000 s."""

    def __init__(self, echo: Echo, **limits: Any) -> None:
        self.clock = FakeClock()
        self.echo = echo
        self.server = serving(echo, self.clock, **limits)
        ca = FakeCa()
        own, client = ca.issue(SERVER, ttl=100_000), ca.issue(AGENT, ttl=1000)
        identity, bundles = TlsIdentity(own.chain, own.key_pkcs8), (ca.bundle(),)
        self._tls = ServerTls(lambda: identity, lambda: bundles, self.clock)
        self._client = ClientTls(
            lambda: TlsIdentity(client.chain, client.key_pkcs8),
            lambda: bundles,
            SpiffeId.parse(SERVER),
            self.clock,
        )
        self.channel: Channel

    async def start(self) -> None:
        port = await self.server.listen_tcp("127.0.0.1", 0, self._tls)
        self.channel = Channel(f"127.0.0.1:{port}", clock=self.clock, tls=self._client)

    async def watch(self) -> Any:
        call = Stub(self.channel).Watch(b"first")
        assert await call.read() == b"first"
        return call

    @property
    def told(self) -> bool:
        return any(connection._draining for connection in self.server.connections)

    async def stop(self) -> None:
        await self.channel.close()
        await self.server.drain(0)


@pytest.fixture
async def tls_lab(echo: Echo) -> AsyncIterator[TlsLab]:
    lab = TlsLab(echo, connection_age=5000)
    await lab.start()
    yield lab
    await lab.stop()


async def ended(lab: TlsLab, call: Any) -> None:
    """Check that the call ends with UNAVAILABLE, and its connection with it."""
    with pytest.raises(RpcError, match=r"connection has (expired|reached its age limit)"):
        await call.read()
    assert await call.code() is grpc.StatusCode.UNAVAILABLE
    await eventually(lambda: not lab.server.connections)


async def test_a_connection_does_not_outlive_its_clients_certificate(tls_lab: TlsLab) -> None:
    call = await tls_lab.watch()
    await tls_lab.clock.advance(969)
    assert not tls_lab.told
    await tls_lab.clock.advance(2)
    assert tls_lab.told
    tls_lab.echo.push.send(b"still served")
    assert await call.read() == b"still served"
    await pass_time(tls_lab.clock, 28.5)
    assert tls_lab.server.connections
    await tls_lab.clock.advance(1)
    await ended(tls_lab, call)


async def test_a_clock_set_forward_past_the_certificate_ends_the_connection(
    tls_lab: TlsLab,
) -> None:
    call = await tls_lab.watch()
    tls_lab.clock.jump(999)
    await tls_lab.clock.advance(0.5)
    assert tls_lab.server.connections
    tls_lab.clock.jump(1)
    await tls_lab.clock.advance(0.5)
    await ended(tls_lab, call)


async def test_a_clients_age_limit_still_comes_first_when_it_is_shorter(echo: Echo) -> None:
    lab = TlsLab(echo, connection_age=100, connection_age_jitter=0)
    await lab.start()
    call = await lab.watch()
    await lab.clock.advance(101)
    assert lab.told
    call.cancel()
    await lab.stop()
