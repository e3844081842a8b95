"""Clients that speak anything but gRPC are dropped, and nobody else notices."""

import asyncio
import contextlib
import random
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.fakes.daemon import comes_true, value_of
from tests.fakes.grpcio import workload
from tests.fakes.lab import Lab

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = struct.pack(">I", 0)[1:] + b"\x04\x00" + struct.pack(">I", 0)


def hello() -> bytes:
    """A TLS ClientHello as OpenSSL writes it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(
            incoming, outgoing, server_hostname="x"
        ).do_handshake()
    return outgoing.read()


def frame(length: int, kind: int, stream: int, payload: bytes, flags: int = 0) -> bytes:
    """An HTTP/2 frame whose header says `length`, whatever its payload is."""
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


RUBBISH = random.Random(1).randbytes(100_000)
GARBAGE = {
    "random bytes": RUBBISH,
    "TLS to one that has none": hello(),
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a huge frame": PREFACE + SETTINGS + frame(0xFFFFFF, 0, 1, b"x" * 1000),
    "data before any request": PREFACE + SETTINGS + frame(5, 0, 1, b"\0\0\0\0\0"),
    "a header block of noise": PREFACE + SETTINGS + frame(64, 1, 1, RUBBISH[:64], flags=5),
    "settings of an odd length": PREFACE + frame(5, 4, 0, b"12345"),
}
UNFINISHED = (b"", PREFACE[:12])

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[Lab], Awaitable[Pair]]


async def to_agent(lab: Lab) -> Pair:
    return await asyncio.open_unix_connection(lab.agent.socket)


async def to_admin(lab: Lab) -> Pair:
    return await asyncio.open_unix_connection(lab.server.socket)


async def to_tcp(lab: Lab) -> Pair:
    return await asyncio.open_connection("127.0.0.1", lab.port)


async def inside_tls(lab: Lab) -> Pair:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return await asyncio.open_connection("127.0.0.1", lab.port, ssl=context)


DOORS: dict[str, Connect] = {
    "the agent's socket": to_agent,
    "the admin socket": to_admin,
    "the TLS port": to_tcp,
    "inside TLS": inside_tls,
}


@asynccontextmanager
async def undisturbed(lab: Lab) -> AsyncIterator[None]:
    """Good clients go on meanwhile: an open stream, and calls to both programs all the time."""
    calls = 0

    async def call_on() -> None:
        nonlocal calls
        while True:
            assert await lab.identities() == ["/db"]
            assert await lab.entry_ids()
            calls += 1

    async with workload(lab.agent.socket) as client:
        stream = client.stream("FetchX509SVID")
        assert len((await stream.read()).svids) == 1
        calling = asyncio.ensure_future(call_on())
        try:
            await comes_true(lambda: value_of(calls > 0))
            before = calls
            yield
            await comes_true(lambda: value_of(calls > before + 1 or calling.done()))
        finally:
            calling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await calling
        await lab.add("/later")
        async with asyncio.timeout(20):
            assert len((await stream.read()).svids) == 2


async def send(lab: Lab, connect: Connect, data: bytes) -> Pair:
    reader, writer = await connect(lab)
    writer.write(data)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    return reader, writer


async def dropped(lab: Lab, connect: Connect, data: bytes) -> bool:
    """Whether the program lets go of a client that sends this and then waits."""
    reader, writer = await send(lab, connect, data)
    try:
        async with asyncio.timeout(5):
            await ended(reader)
    except TimeoutError:
        return False
    finally:
        await close(writer)
    return True


async def close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_garbage_is_dropped_and_nobody_else_notices(lab: Lab) -> None:
    async with undisturbed(lab):
        outcomes = {
            (door, what): await dropped(lab, connect, data)
            for door, connect in DOORS.items()
            for what, data in GARBAGE.items()
            if (door, what) != ("the TLS port", "TLS to one that has none")
        }
    assert [each for each, gone in outcomes.items() if not gone] == []
    assert "Traceback" not in lab.agent.log() + lab.server.log()


async def test_who_never_finishes_a_sentence_holds_up_nobody_and_is_let_go(lab: Lab) -> None:
    async with undisturbed(lab):
        held = [
            await send(lab, connect, data)
            for connect in DOORS.values()
            for data in (*UNFINISHED, hello()[:20])
            for _ in range(10)
        ]
    ends = [ended(reader) for reader, _ in held]
    async with asyncio.timeout(30):  # the programs wait 20 s for TLS, 10 s for the first words
        await asyncio.gather(*ends)
    for _, writer in held:
        await close(writer)


async def ended(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while await reader.read(1 << 16):
            pass
