"""grpc-go as client and as server: Unix sockets, TLS, every kind of call."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509 import load_der_x509_certificate
from google.protobuf.wrappers_pb2 import StringValue

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import (
    Channel,
    Limits,
    OpenGate,
    RpcError,
    Server,
    ServerTls,
    TlsCaller,
    TlsIdentity,
)
from tests.fakes.ca import FakeCa
from tests.interop.gobuild import built
from tests.runtime.rpc.echo import Echo, Stub

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
CHECKS = 12
LIMITS = Limits(max_receive_message=64 << 20)
AGENT = "spiffe://example.org/spire/agent/go"


@pytest.fixture(scope="module")
def grpcgo() -> Path:
    """The program, from the cache or built into it."""
    return built(HERE)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="go") as path:
        yield Path(path)


async def checked(program: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(program),
        "client",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode() + out.decode()
    assert out.decode().count("ok ") == CHECKS


async def test_a_grpc_go_client_over_a_unix_socket(grpcgo: Path, folder: Path) -> None:
    echo = Echo()
    server = Server(clock=SystemClock(), gate=OpenGate(), limits=LIMITS)
    echo.register(server)
    await server.listen_unix(folder / "s", mode=0o600)
    await checked(grpcgo, f"unix://{folder / 's'}")
    await server.drain(1)


async def test_a_grpc_go_client_over_tls(grpcgo: Path, folder: Path) -> None:
    ca = FakeCa(now=time.time())
    own = ca.issue("spiffe://example.org/spire/server", dns_names=["finial-test"])
    client = ca.issue(AGENT)
    (folder / "ca.pem").write_bytes(ca.cert.public_bytes(Encoding.PEM))
    leaf = load_der_x509_certificate(client.chain[0])
    (folder / "cert.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
    key = load_der_private_key(client.key_pkcs8, None)
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    echo = Echo()
    server = Server(clock=SystemClock(), gate=OpenGate(), limits=LIMITS)
    echo.register(server)
    identity, bundles = TlsIdentity(own.chain, own.key_pkcs8), (ca.bundle(),)
    tls = ServerTls(lambda: identity, lambda: bundles, SystemClock())
    port = await server.listen_tcp("127.0.0.1", 0, tls)
    files = (str(folder / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    await checked(grpcgo, f"127.0.0.1:{port}", *files)
    caller = echo.contexts[-1].caller
    assert isinstance(caller, TlsCaller)
    assert caller.svid is not None
    assert str(caller.svid.id) == AGENT
    await server.drain(1)


@pytest.fixture
async def stub(grpcgo: Path, folder: Path) -> AsyncIterator[Stub]:
    """Our channel to a grpc-go server."""
    socket = folder / "g"
    process = await asyncio.create_subprocess_exec(
        str(grpcgo), "server", str(socket), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    async with Channel(f"unix:{socket}", clock=SystemClock(), limits=LIMITS) as channel:
        yield Stub(channel)
    process.terminate()
    await process.communicate()


async def test_our_channel_makes_every_kind_of_call_to_grpc_go(stub: Stub) -> None:
    async def words() -> AsyncIterator[bytes]:
        for word in (b"one", b"", b"three"):
            yield word

    large = bytes(range(256)) * 65536
    assert await stub.Plain(b"hello") == b"hello"
    assert await stub.Plain(large, timeout=60) == large
    assert [answer async for answer in stub.Count(b"100")] == [b"%d" % n for n in range(100)]
    assert await stub.Total(words()) == b"8"
    assert [answer async for answer in stub.Chat(words())] == [b"ONE", b"", b"THREE"]
    answers = await asyncio.gather(*(stub.Plain(b"%d" % n) for n in range(300)))
    assert answers == [b"%d" % n for n in range(300)]


async def test_our_channel_understands_how_grpc_go_ends_calls(stub: Stub) -> None:
    call = stub.Metadata(b"", metadata=(("x-a", "1"), ("x-b-bin", b"\0\xff")))
    assert await call == b""
    assert ("x-b-bin", b"\0\xff") in await call.initial_metadata()
    assert ("t-x-a", "1") in await call.trailing_metadata()
    with pytest.raises(RpcError) as caught:
        await stub.Refuse(b"")
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert caught.value.details() == "no: 100% ünicode\n"
    value = StringValue()
    assert caught.value.status_details()[0].Unpack(value)
    assert value.value == "why"
    with pytest.raises(RpcError, match="UNIMPLEMENTED"):
        await stub.Nope(b"")
    with pytest.raises(RpcError, match="DEADLINE_EXCEEDED"):
        await stub.Hang(b"", timeout=0.2)
    stream = stub.Flood(b"100000")
    for _ in range(50):
        assert len(await stream.read()) == 100_000
    stream.cancel()
    assert await stub.Plain(b"still there") == b"still there"
