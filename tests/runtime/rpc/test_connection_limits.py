"""How many connections a caller may have, on both event loops."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvloop
from h2.events import ConnectionTerminated, DataReceived

from finial.runtime.clock import SystemClock
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
from finial.runtime.rpc.admission import network_of
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import eventually
from tests.runtime.rpc.echo import Echo, Stub
from tests.runtime.rpc.wire import Wire

SERVER = "spiffe://example.org/spire/server"
AGENT = "spiffe://example.org/spire/agent/one"
ENHANCE_YOUR_CALM = 0xB

Body = Callable[[], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    """Run a test's body on a loop of this kind."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run(body: Body) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(body())  # type: ignore[arg-type]

    return run


def serving(clock: FakeClock | SystemClock | None = None, **limits: Any) -> Server:
    clock = clock or SystemClock()
    server = Server(clock=clock, gate=OpenGate(), limits=Limits(**limits), name="test")
    Echo().register(server)
    return server


class Tls:
    """A server over TLS on `port`, and what its clients need."""

    def __init__(self, **limits: Any) -> None:
        self.clock = FakeClock()
        self.server = serving(self.clock, **limits)
        self.ca = FakeCa()
        svid = self.ca.issue(SERVER)
        identity, roots = TlsIdentity(svid.chain, svid.key_pkcs8), (self.ca.bundle(),)
        self.tls = ServerTls(lambda: identity, lambda: roots, self.clock)
        self.port = 0

    async def open(self, host: str = "127.0.0.1") -> None:
        self.port = await self.server.listen_tcp(host, 0, self.tls)

    def channel(self, ca: FakeCa) -> Channel:
        svid = ca.issue(AGENT)
        identity = TlsIdentity(svid.chain, svid.key_pkcs8)
        roots, server_id = (self.ca.bundle(),), SpiffeId.parse(SERVER)
        tls = ClientTls(lambda: identity, lambda: roots, server_id, self.clock)
        return Channel(f"127.0.0.1:{self.port}", clock=self.clock, tls=tls)

    async def knock(self, host: str = "127.0.0.1") -> socket.socket:
        """Connect and say nothing."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (host, self.port))
        except OSError:
            sock.close()
            raise
        return sock

    async def refuses(self, host: str = "127.0.0.1") -> bool:
        """Whether one more connection is reset, perhaps before it knows that it was made."""
        try:
            return await was_reset(await self.knock(host))
        except ConnectionResetError:
            return True


async def was_reset(sock: socket.socket) -> bool:
    """Whether the connection ends without a byte."""
    try:
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(sock, 100) == b""
    except ConnectionResetError:
        return True
    finally:
        sock.close()


async def served(path: Path) -> Wire:
    wire = await Wire.connect(path)
    await wire.until(DataReceived, stream_id=wire.call(b"x"))
    return wire


@contextmanager
def no_sockets(host: str) -> Iterator[None]:
    with closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    yield


def test_one_connection_too_many_of_a_user_is_told_so(
    folder: Path, run: Callable[[Body], None]
) -> None:
    async def body() -> None:
        server = serving(connections_per_uid=3)
        await server.listen_unix(folder / "s", mode=0o600)
        wires = [await served(folder / "s") for _ in range(3)]
        refused = await Wire.connect(folder / "s")
        goaway = await refused.until(ConnectionTerminated)
        assert (goaway.error_code, goaway.last_stream_id) == (ENHANCE_YOUR_CALM, 0)
        await refused.closed()
        assert len(server.connections) == 3
        wires.pop().close()
        await eventually(lambda: len(server.admission) == 2)
        wires.append(await served(folder / "s"))
        for wire in wires:
            await wire.until(DataReceived, stream_id=wire.call(b"still here"))
            wire.close()
        await server.drain(0)
        assert len(server.admission) == 0

    run(body)


def test_clients_of_grpc_see_unavailable(folder: Path, run: Callable[[Body], None]) -> None:
    async def body() -> None:
        server = serving(connections_per_uid=1)
        await server.listen_unix(folder / "s", mode=0o600)
        holder = await served(folder / "s")
        async with Channel(f"unix:{folder / 's'}", clock=SystemClock()) as channel:
            for _ in range(20):
                with pytest.raises(RpcError) as ours:
                    await Stub(channel).Plain(b"x")
                assert ours.value.code() is grpc.StatusCode.UNAVAILABLE
        holder.close()
        await server.drain(0)

    run(body)


async def test_our_client_says_why_it_was_refused(folder: Path) -> None:
    server = serving(connections_per_uid=1)
    await server.listen_unix(folder / "s", mode=0o600)
    holder = await served(folder / "s")
    async with Channel(f"unix:{folder / 's'}", clock=SystemClock()) as channel:
        with pytest.raises(RpcError, match="too many connections of this user"):
            await Stub(channel).Plain(b"x")
    holder.close()
    await server.drain(0)


async def test_grpcio_sees_unavailable_and_backs_off(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    server = serving(clock, connections_per_uid=1)
    await server.listen_unix(folder / "s", mode=0o600)
    holder = await served(folder / "s")
    for _ in range(5):
        async with grpc.aio.insecure_channel(f"unix:{folder / 's'}") as other:
            with pytest.raises(grpc.aio.AioRpcError) as theirs:
                await Stub(other).Plain(b"x", timeout=10)
        assert theirs.value.code() is grpc.StatusCode.UNAVAILABLE
    await clock.advance(10)
    refused = sum(each.data["connections"] for each in caplog.records)  # type: ignore[attr-defined]
    assert 1 <= refused <= 10
    holder.close()
    await server.drain(0)


def test_connections_in_the_middle_of_a_handshake_count(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        lab = Tls(connections_per_address=2)
        await lab.open()
        held = [await lab.knock() for _ in range(2)]
        await eventually(lambda: len(lab.server.admission) == 2)
        assert await lab.refuses()
        assert not lab.server.connections
        for sock in held:
            sock.close()
        await eventually(lambda: len(lab.server.admission) == 0)
        async with lab.channel(lab.ca) as good:
            assert await Stub(good).Plain(b"x") == b"x"
            assert lab.server.admission.held("127.0.0.1") == 1
        await eventually(lambda: len(lab.server.admission) == 0)
        await lab.server.drain(0)

    run(body)


def test_a_place_is_free_again_however_a_connection_ends(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        lab = Tls(connections_per_address=1, handshake_timeout=0.2)
        await lab.open()
        async with lab.channel(FakeCa()) as stranger:
            with pytest.raises(RpcError):
                await Stub(stranger).Plain(b"x")
        await eventually(lambda: len(lab.server.admission) == 0)
        for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"):
            sock = await lab.knock()
            await asyncio.get_running_loop().sock_sendall(sock, said)
            await eventually(lambda: len(lab.server.admission) == 1)
            assert await was_reset(sock) or said  # an alert may come first
            await eventually(lambda: len(lab.server.admission) == 0)
        async with lab.channel(lab.ca) as good:
            assert await Stub(good).Plain(b"x") == b"x"
            (connection,) = lab.server.connections
            connection.abort()
            await eventually(lambda: len(lab.server.admission) == 0)
            assert await Stub(good).Plain(b"again") == b"again"
        await lab.server.drain(0)

    run(body)


def test_a_handshake_is_given_up_at_its_time_even_when_bytes_trickle_in(
    run: Callable[[Body], None],
) -> None:
    async def body() -> None:
        lab = Tls(handshake_timeout=0.3)
        await lab.open()
        loop = asyncio.get_running_loop()
        sock = await lab.knock()
        gone = asyncio.ensure_future(was_reset(sock))
        for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500):
            await asyncio.wait((gone,), timeout=0.02)
            if gone.done():
                break
            with suppress(ConnectionError):
                await loop.sock_sendall(sock, bytes((byte,)))
        assert gone.done(), "ten seconds later it is still there"
        assert gone.result()
        await eventually(lambda: len(lab.server.admission) == 0)
        await lab.server.drain(0)

    run(body)


def test_draining_gives_up_on_handshakes(run: Callable[[Body], None]) -> None:
    async def body() -> None:
        lab = Tls()
        await lab.open()
        sock = await lab.knock()
        await eventually(lambda: len(lab.server.admission) == 1)
        async with asyncio.timeout(5):  # less than a handshake may take
            await lab.server.drain(60)
        assert await was_reset(sock)
        assert len(lab.server.admission) == 0
        with pytest.raises(ConnectionRefusedError):
            await lab.knock()

    run(body)


async def test_an_ipv6_network_shares_one_limit() -> None:
    with no_sockets("::1"):
        lab = Tls(connections_per_address=1)
        await lab.open("::1")
        sock = await lab.knock("::1")
        await eventually(lambda: lab.server.admission.held("::/64") == 1)
        assert await lab.refuses("::1")
        sock.close()
        await lab.server.drain(0)


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_connections_are_counted_by_ipv4_address_or_ipv6_network(host: str, network: str) -> None:
    assert network_of(host) == network


async def test_a_flood_of_refusals_is_a_few_lines_in_the_log(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    server = serving(clock, connections_per_uid=1)
    await server.listen_unix(folder / "s", mode=0o600)
    holder = await served(folder / "s")

    async def refuse(count: int) -> None:
        for _ in range(count):
            await (await Wire.connect(folder / "s", greet=False)).closed()

    def told() -> list[dict[str, Any]]:
        records = [each.data for each in caplog.records if each.msg == "connections refused"]  # type: ignore[attr-defined]
        caplog.clear()
        return records

    with caplog.at_level(logging.WARNING, "finial"):
        await refuse(30)
        (first,) = told()
        assert first["connections"] == 1
        assert first["caller"].startswith("uid ")
        assert first["server"] == "test"
        assert first["remedy"] == "raise connections_per_uid"
        await clock.advance(10)
        assert [each["connections"] for each in told()] == [29]
        await clock.advance(10)
        assert told() == []
        await refuse(1)
        assert [each["connections"] for each in told()] == [1]
    holder.close()
    await server.drain(0)


async def test_many_callers_that_are_refused_are_few_lines_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from finial.runtime.rpc.admission import Reason

    clock = FakeClock()
    server = serving(clock)
    for number in range(1000):
        server.turned_away.note(Reason("a test"), f"caller {number}")
    assert len(caplog.records) == 9
    await clock.advance(10)
    assert caplog.records[-1].data["connections"] == 991  # type: ignore[attr-defined]
    assert len(caplog.records) == 10
    await clock.advance(20)
    assert len(caplog.records) == 10
    await server.drain(0)
