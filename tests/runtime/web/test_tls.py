"""The server over TCP, with TLS of either version and without."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from finial.runtime.rpc import TlsIdentity
from finial.runtime.web import WebLimits, WebServerTls
from tests.fakes.endpoints import anyone
from tests.fakes.waiting import eventually
from tests.fakes.web_lab import PATIENCE, Speaker, WebLab, status
from tests.fakes.web_pki import WebPki

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PKI = WebPki()


@asynccontextmanager
async def speaking(port: int, context: ssl.SSLContext | None) -> AsyncIterator[Speaker]:
    host = "a.test" if context else None
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=host
        )
    speaker = Speaker(reader, writer)
    try:
        yield speaker
    finally:
        await speaker.close()


def of_version(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = anyone()
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("is_rsa", [False, True])
async def test_requests_are_answered_over_either_version_and_kind_of_key(
    folder: Path, version: ssl.TLSVersion, is_rsa: bool
) -> None:
    identity = PKI.issue("a.test", is_rsa=is_rsa)
    lab = WebLab(folder)
    async with lab.serving() as server:
        port = await server.listen_tcp("127.0.0.1", 0, WebServerTls(lambda: identity))
        async with speaking(port, of_version(version)) as speaker:
            for _ in range(3):
                await speaker.say(GET)
                assert (await speaker.answer()).endswith(b"GET / a tls ")


async def test_a_large_answer_arrives_whole_over_tls(folder: Path) -> None:
    identity = PKI.issue("a.test")
    lab = WebLab(folder)
    async with lab.serving() as server:
        port = await server.listen_tcp("127.0.0.1", 0, WebServerTls(lambda: identity))
        async with speaking(port, anyone()) as speaker:
            await speaker.say(GET.replace(b" / ", b" /huge "))
            answer = await speaker.answer()
            assert len(answer) > 8 << 20
            await speaker.say(GET)
            assert status(await speaker.answer()) == 200


async def test_without_tls_there_is_none(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving() as server:
        port = await server.listen_tcp("127.0.0.1", 0, None)
        async with speaking(port, None) as speaker:
            await speaker.say(GET)
            assert (await speaker.answer()).endswith(b"GET / a plain ")


async def test_another_identity_is_served_from_the_next_connection_on(folder: Path) -> None:
    held = [PKI.issue("a.test")]
    lab = WebLab(folder)

    async def leaf(port: int) -> bytes:
        async with speaking(port, anyone()) as speaker:
            presented: bytes = speaker.writer.get_extra_info("ssl_object").getpeercert(True)
            return presented

    async with lab.serving() as server:
        port = await server.listen_tcp("127.0.0.1", 0, WebServerTls(lambda: held[-1]))
        for _ in range(2):
            assert await leaf(port) == held[-1].chain_der[0]
            held.append(PKI.issue("a.test"))
        assert await leaf(port) == held[-1].chain_der[0]


async def test_garbage_instead_of_a_handshake_disturbs_nobody(folder: Path) -> None:
    identity = PKI.issue("a.test")
    lab = WebLab(folder)
    async with lab.serving() as server:
        port = await server.listen_tcp("127.0.0.1", 0, WebServerTls(lambda: identity))
        async with speaking(port, anyone()) as good:
            for garbage in (GET, b"\x16\x03\x01\xff\xff" + bytes(999), b"\0" * 5000):
                async with speaking(port, None) as bad:
                    await bad.say(garbage)
                    bad.writer.write_eof()
                    assert not (await bad.rest()).startswith(b"HTTP")
            await good.say(GET)
            assert status(await good.answer()) == 200


async def test_an_identity_that_cannot_be_had_costs_that_connection(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity = PKI.issue("a.test")
    missing = [True]

    def current() -> TlsIdentity:
        if missing:
            raise OSError("there is none yet")
        return identity

    lab = WebLab(folder)
    async with lab.serving() as server:
        port = await server.listen_tcp("127.0.0.1", 0, WebServerTls(current))
        with pytest.raises(OSError):  # a reset, or an end without a word
            async with speaking(port, anyone()):
                pass
        missing.clear()
        async with speaking(port, anyone()) as speaker:
            await speaker.say(GET)
            assert status(await speaker.answer()) == 200
    assert "cannot open a connection" not in caplog.text


async def test_one_address_has_so_many_connections(folder: Path) -> None:
    lab = WebLab(folder, WebLimits(connections_per_address=1))
    async with lab.serving() as server:
        port = await server.listen_tcp("127.0.0.1", 0, None)
        async with speaking(port, None) as first:
            await first.say(GET)
            await first.answer()
            with suppress(ConnectionResetError):  # as early as that
                async with speaking(port, None) as second:
                    await second.say(GET)
                    assert await second.rest() == b""
            assert len(server.connections) == 1
        await eventually(lambda: not server.connections)
        async with speaking(port, None) as third:
            await third.say(GET)
            assert status(await third.answer()) == 200
