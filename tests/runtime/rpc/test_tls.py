import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from shutil import which
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate

from finial.runtime.rpc import (
    Channel,
    ClientTls,
    OpenGate,
    RpcError,
    Server,
    ServerTls,
    TlsCaller,
    TlsIdentity,
)
from finial.runtime.rpc import tls as tls_module
from finial.spiffe.bundle import Bundle, X509Authority
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock
from tests.runtime.rpc.echo import Echo, Stub
from tests.runtime.rpc.wire import until

SERVER = "spiffe://example.org/spire/server"
AGENT = "spiffe://example.org/spire/agent/one"


def identity(ca: FakeCa, spiffe_id: str, **options: Any) -> TlsIdentity:
    svid = ca.issue(spiffe_id, **options)
    return TlsIdentity(svid.chain, svid.key_pkcs8)


class Lab:
    """A server over TLS whose identity and bundles may be changed, and channels to it."""

    def __init__(self) -> None:
        self.ca = FakeCa()
        self.clock = FakeClock()
        self.echo = Echo()
        self.identity = identity(self.ca, SERVER)
        self.bundles: Sequence[Bundle] = (self.ca.bundle(),)
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Server]:
        server = Server(clock=self.clock, gate=OpenGate(), name="tls")
        self.echo.register(server)
        server_tls = ServerTls(lambda: self.identity, lambda: self.bundles, self.clock)
        self.port = await server.listen_tcp("127.0.0.1", 0, server_tls)
        try:
            yield server
        finally:
            await server.drain(0)

    @asynccontextmanager
    async def channel(
        self,
        client: TlsIdentity | None,
        *,
        server_id: str = SERVER,
        roots: Sequence[Bundle] | None = None,
    ) -> AsyncIterator[Stub]:
        client_tls = ClientTls(
            lambda: client,
            lambda: self.bundles if roots is None else roots,
            SpiffeId.parse(server_id),
            self.clock,
        )
        async with Channel(f"127.0.0.1:{self.port}", clock=self.clock, tls=client_tls) as channel:
            yield Stub(channel)

    @property
    def caller(self) -> TlsCaller:
        caller = self.echo.contexts[-1].caller
        assert isinstance(caller, TlsCaller)
        return caller


@pytest.fixture
def lab() -> Lab:
    return Lab()


async def test_both_sides_know_each_other_by_spiffe_id(lab: Lab) -> None:
    async with lab.serving(), lab.channel(identity(lab.ca, AGENT)) as stub:
        assert await stub.Plain(b"hello") == b"hello"
        assert lab.caller.svid is not None
        assert str(lab.caller.svid.id) == AGENT
        assert lab.echo.contexts[-1].peer().startswith("ipv4:127.0.0.1:")


async def test_a_client_without_certificate_is_let_in_as_nobody(lab: Lab) -> None:
    async with lab.serving(), lab.channel(None) as stub:
        assert await stub.Plain(b"hello") == b"hello"
        assert lab.caller.svid is None


async def test_a_client_certificate_of_an_unknown_root_is_refused(lab: Lab) -> None:
    async with lab.serving(), lab.channel(identity(FakeCa(), AGENT)) as stub:
        with pytest.raises(RpcError) as caught:
            await stub.Plain(b"hello")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert not lab.echo.contexts


async def test_a_root_of_another_trust_domain_proves_nothing_about_ours(lab: Lab) -> None:
    other = FakeCa("other.org")
    lab.bundles = (lab.ca.bundle(), other.bundle())
    async with lab.serving(), lab.channel(identity(other, AGENT)) as stub:
        with pytest.raises(RpcError) as caught:
            await stub.Plain(b"hello")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert not lab.echo.contexts


async def test_an_expired_client_certificate_is_refused_on_the_injected_clock(lab: Lab) -> None:
    client = identity(lab.ca, AGENT, ttl=60)
    async with lab.serving():
        async with lab.channel(client) as stub:
            assert await stub.Plain(b"in time") == b"in time"
        lab.clock.jump(61)
        async with lab.channel(client) as stub:
            with pytest.raises(RpcError) as caught:
                await stub.Plain(b"too late")
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_expired_server_certificate_is_refused(lab: Lab) -> None:
    lab.identity = identity(lab.ca, SERVER, ttl=60)
    async with lab.serving(), lab.channel(None) as stub:
        lab.clock.jump(61)
        with pytest.raises(RpcError, match="cannot connect") as caught:
            await stub.Plain(b"hello")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_wrong_server_id_is_refused_before_a_byte_of_http2(lab: Lab) -> None:
    server_tls = ServerTls(lambda: lab.identity, lambda: lab.bundles, lab.clock)
    heard = bytearray()
    over = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = server_tls.context().wrap_bio(incoming, outgoing, server_side=True)
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                incoming.write(data)
                with suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                    heard.extend(tls.read())
                writer.write(outgoing.read())
        writer.close()
        over.set()

    listener = await asyncio.start_server(listen, "127.0.0.1", 0)
    lab.port = listener.sockets[0].getsockname()[1]
    async with lab.channel(None, server_id="spiffe://example.org/other") as stub:
        with pytest.raises(RpcError, match=r"the server is spiffe://example\.org/spire/server"):
            await stub.Plain(b"hello")
    await over.wait()
    assert heard == b""
    over.clear()
    async with lab.channel(None) as stub:
        call = stub.Plain(b"hello")
        await until(lambda: heard.startswith(b"PRI * HTTP/2.0"))
        call.cancel()
    await over.wait()
    listener.close()


async def test_a_server_of_an_unknown_root_is_refused(lab: Lab) -> None:
    async with lab.serving(), lab.channel(None, roots=(FakeCa().bundle(),)) as stub:
        with pytest.raises(RpcError, match="certificate") as caught:
            await stub.Plain(b"hello")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_new_identity_and_roots_count_from_the_next_handshake(lab: Lab) -> None:
    async with lab.serving():
        async with lab.channel(None) as stub:
            await stub.Plain(b"old")
        old, lab.ca = lab.ca, FakeCa()
        lab.identity = identity(lab.ca, SERVER)
        lab.bundles = (lab.ca.bundle(),)
        async with lab.channel(identity(lab.ca, AGENT)) as stub:
            assert await stub.Plain(b"new") == b"new"
        async with lab.channel(identity(old, AGENT)) as stub:
            with pytest.raises(RpcError):
                await stub.Plain(b"old root")


async def test_a_trust_anchor_need_not_be_self_signed(lab: Lab) -> None:
    lab.ca = lab.ca.intermediate()
    svid = lab.ca.issue(SERVER)
    lab.identity = TlsIdentity(svid.chain[:1], svid.key_pkcs8)
    anchor = X509Authority.from_der(lab.ca.der)
    lab.bundles = (Bundle(lab.ca.trust_domain, x509_authorities=(anchor,)),)
    async with lab.serving(), lab.channel(identity(lab.ca, AGENT)) as stub:
        assert await stub.Plain(b"by an intermediate") == b"by an intermediate"


async def test_a_refused_client_does_not_disturb_the_others(lab: Lab) -> None:
    async with lab.serving(), lab.channel(identity(lab.ca, AGENT)) as good:
        assert await good.Plain(b"1") == b"1"
        async with lab.channel(identity(FakeCa(), AGENT)) as bad:
            with pytest.raises(RpcError):
                await bad.Plain(b"2")
        _, writer = await asyncio.open_connection("127.0.0.1", lab.port)
        writer.write(b"no TLS at all\r\n\r\n")
        writer.close()
        assert await good.Plain(b"3") == b"3"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_sessions_are_never_reused(lab: Lab, version: ssl.TLSVersion) -> None:
    async with lab.serving():
        session = None
        reused = []
        for _ in range(2):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.maximum_version = version
            context.set_alpn_protocols(["h2"])
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=context)
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            assert await reader.read(9)
            connection = writer.get_extra_info("ssl_object")
            assert connection.version() == version.name.replace("_", ".")
            session = connection.session
            reused.append(connection.session_reused)
            assert session is None or not session.has_ticket
            writer.close()
        assert reused == [False, False]


@pytest.mark.parametrize("offered", [None, ["http/1.1"]])
async def test_a_client_that_does_not_ask_for_http2_by_alpn_gets_no_service(
    lab: Lab, offered: list[str] | None
) -> None:
    async with lab.serving() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if offered is not None:
            context.set_alpn_protocols(offered)
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=context)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        with suppress(ConnectionError):
            assert await reader.read() == b""
        assert not server.connections
        writer.close()


@pytest.mark.skipif(which("openssl") is None, reason="renegotiates with the openssl program")
async def test_renegotiation_is_refused(lab: Lab) -> None:
    async with lab.serving():
        client = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-tls1_2", "-alpn", "h2"),
            *("-connect", f"127.0.0.1:{lab.port}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await client.communicate(b"R\n")
        assert b"Protocol  : TLSv1.2" in out
        assert b"RENEGOTIATING" in out
        assert b"no renegotiation" in out


async def test_old_tls_is_refused(lab: Lab) -> None:
    async with lab.serving():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="deprecated"):
            context.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="deprecated"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", lab.port, ssl=context)


async def test_a_grpcio_client_with_certificate_is_known_by_its_id() -> None:
    lab = Lab()
    lab.ca = FakeCa(now=time.time())
    lab.clock = FakeClock(time.time())
    lab.bundles = (lab.ca.bundle(),)
    lab.identity = identity(lab.ca, SERVER, dns_names=["spire-server"])
    client = lab.ca.issue(AGENT)
    async with lab.serving():
        credentials = grpc.ssl_channel_credentials(
            root_certificates=lab.ca.cert.public_bytes(Encoding.PEM),
            private_key=tls_module._pem("PRIVATE KEY", client.key_pkcs8),
            certificate_chain=load_der_x509_certificate(client.chain[0]).public_bytes(Encoding.PEM),
        )
        options = (("grpc.ssl_target_name_override", "spire-server"),)
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{lab.port}", credentials, options
        ) as channel:
            assert await Stub(channel).Plain(bytes(1_000_000)) == bytes(1_000_000)
        assert lab.caller.svid is not None
        assert str(lab.caller.svid.id) == AGENT


async def test_our_channel_reaches_a_grpcio_server_over_tls() -> None:
    lab = Lab()
    svid = lab.ca.issue(SERVER, dns_names=["x"])
    credentials = grpc.ssl_server_credentials(
        [
            (
                tls_module._pem("PRIVATE KEY", svid.key_pkcs8),
                tls_module._pem("CERTIFICATE", svid.chain[0]),
            ),
        ]
    )
    server = grpc.aio.server()
    lab.echo.register(server)
    lab.port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    async with lab.channel(None) as stub:
        assert await stub.Later(b"hello", timeout=5) == b"hello"
    await server.stop(0)


async def test_a_verifier_of_ones_own_decides() -> None:
    lab = Lab()
    seen: list[Sequence[bytes]] = []

    def verify(chain: Sequence[bytes]) -> Any:
        seen.append(chain)
        raise ValueError("not today")

    server = Server(clock=lab.clock, gate=OpenGate())
    lab.echo.register(server)
    server_tls = ServerTls(lambda: lab.identity, lambda: lab.bundles, lab.clock, verify=verify)
    lab.port = await server.listen_tcp("127.0.0.1", 0, server_tls)
    client = identity(lab.ca, AGENT)
    async with lab.channel(client) as stub:
        with pytest.raises(RpcError):
            await stub.Plain(b"hello")
    await server.drain(0)
    # OpenSSL sends a known root along with a lone leaf, so more may follow.
    assert [chain[0] for chain in seen] == [client.chain_der[0]]


async def test_reading_buffers_stay_small(lab: Lab) -> None:
    async with lab.serving(), lab.channel(None) as stub:
        await stub.Plain(b"hello")
        from asyncio import sslproto

        assert sslproto.SSLProtocol.max_size == 16 * 1024
        connection = lab.echo.contexts[-1]._connection
        assert len(connection.transport._ssl_protocol._ssl_buffer) == 16 * 1024


def test_a_key_leaves_no_file_behind(lab: Lab) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    ServerTls(lambda: lab.identity, lambda: lab.bundles, lab.clock)._contexts.get(
        lab.identity, lab.bundles
    )
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert "key_pkcs8" not in repr(lab.identity)
