"""Clients and servers of our make and of grpcio's."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509 import load_der_x509_certificate

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import (
    Channel,
    ClientTls,
    Limits,
    OpenGate,
    Server,
    ServerTls,
    TlsIdentity,
)
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import FakeCa
from tests.runtime.rpc.matrix.link import Credentials, Options, Place
from tests.runtime.rpc.matrix.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from finial.spiffe.x509_svid import X509Svid

SERVER_ID = SpiffeId.parse("spiffe://example.org/spire/server")
CLIENT_ID = SpiffeId.parse("spiffe://example.org/spire/agent/peer")
SERVER_NAME = "finial-test"
METADATA = 64 * 1024
UNREQUESTED = 3600


def unix_place(folder: Path) -> Place:
    return Place(folder / "s")


def tls_place(folder: Path) -> Place:
    ca = FakeCa(now=time.time())
    roots = folder / "roots.pem"
    roots.write_bytes(ca.cert.public_bytes(Encoding.PEM))

    def credentials(name: str, svid: X509Svid) -> Credentials:
        key, chain = folder / f"{name}.key", folder / f"{name}.pem"
        leaf = load_der_x509_certificate(svid.chain[0])
        chain.write_bytes(leaf.public_bytes(Encoding.PEM))
        private = load_der_private_key(svid.key_pkcs8, None)
        key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        identity = TlsIdentity(svid.chain, svid.key_pkcs8)
        return Credentials(identity, ca.bundle(), key, chain, roots)

    return Place(
        folder / "s",
        credentials("server", ca.issue(SERVER_ID, dns_names=[SERVER_NAME])),
        credentials("client", ca.issue(CLIENT_ID)),
    )


def limits(options: Options) -> Limits:
    chosen: dict[str, Any] = {"max_receive_message": options.message}
    if options.window is not None:
        chosen |= {"stream_window": options.window, "connection_window": options.window}
    if options.streams is not None:
        chosen["max_concurrent_streams"] = options.streams
    if options.age is not None:
        chosen["connection_age"] = options.age
    if options.keepalive is not None:
        chosen["keepalive"] = options.keepalive
    return Limits(**chosen)


class OurServer:
    name = "finial"

    @asynccontextmanager
    async def __call__(self, place: Place, options: Options) -> AsyncIterator[str]:
        server = Server(clock=SystemClock(), gate=OpenGate(), limits=limits(options))
        Service().register(server)
        try:
            yield await _listening(server, place)
        finally:
            await server.drain(0)


async def _listening(server: Server, place: Place) -> str:
    own = place.server
    if own is None:
        await server.listen_unix(place.socket, mode=0o600)
        return f"unix:{place.socket}"
    tls = ServerTls(lambda: own.identity, lambda: (own.bundle,), SystemClock())
    return f"127.0.0.1:{await server.listen_tcp('127.0.0.1', 0, tls)}"


class OurClient:
    name = "finial"

    @asynccontextmanager
    async def __call__(self, target: str, place: Place, options: Options) -> AsyncIterator[Any]:
        tls = None
        if place.client is not None:
            own = place.client
            tls = ClientTls(lambda: own.identity, lambda: (own.bundle,), SERVER_ID, SystemClock())
        clock = SystemClock()
        async with Channel(target, clock=clock, tls=tls, limits=limits(options)) as channel:
            yield channel


def grpcio_options(options: Options) -> list[tuple[str, Any]]:
    chosen: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", options.message),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", METADATA),
        ("grpc.absolute_max_metadata_size", METADATA),
        # Its subchannels are otherwise shared by the whole process.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if options.window is not None:
        chosen += [("grpc.http2.lookahead_bytes", options.window), ("grpc.http2.bdp_probe", 0)]
    if options.streams is not None:
        chosen += [
            ("grpc.max_concurrent_streams", options.streams),
            # What the application has not taken up yet is otherwise cancelled above 1,000.
            ("grpc.server.max_pending_requests", options.streams),
            ("grpc.server.max_pending_requests_hard_limit", options.streams),
            # And what has waited for the application for 30 s, as the last of many streams do on a
            # machine with other work. The test's own timeout bounds that.
            ("grpc.server_max_unrequested_time_in_server", UNREQUESTED),
        ]
    if options.age is not None:
        chosen += [
            ("grpc.max_connection_age_ms", int(options.age * 1000)),
            ("grpc.max_connection_age_grace_ms", 30_000),
        ]
    return chosen


class GrpcioServer:
    name = "grpcio"

    @asynccontextmanager
    async def __call__(self, place: Place, options: Options) -> AsyncIterator[str]:
        compression = grpc.Compression.Gzip if options.compression else None
        server = grpc.aio.server(options=grpcio_options(options), compression=compression)
        Service().register(server)
        if place.server is None:
            target = f"unix:{place.socket}"
            server.add_insecure_port(target)
        else:
            own = place.server
            credentials = grpc.ssl_server_credentials(
                [(own.key.read_bytes(), own.chain.read_bytes())],
                own.roots.read_bytes(),
                require_client_auth=True,
            )
            target = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
        await server.start()
        try:
            yield target
        finally:
            await server.stop(0)


def grpcio_client_options(options: Options) -> list[tuple[str, Any]]:
    chosen = [*grpcio_options(options), ("grpc.ssl_target_name_override", SERVER_NAME)]
    if options.keepalive is not None:
        chosen += [
            ("grpc.keepalive_time_ms", int(options.keepalive * 1000)),
            ("grpc.http2.max_pings_without_data", 0),
        ]
    return chosen


def grpcio_credentials(place: Place) -> grpc.ChannelCredentials | None:
    own = place.client
    if own is None:
        return None
    return grpc.ssl_channel_credentials(
        own.roots.read_bytes(), own.key.read_bytes(), own.chain.read_bytes()
    )


class GrpcioClient:
    name = "grpcio"

    @asynccontextmanager
    async def __call__(self, target: str, place: Place, options: Options) -> AsyncIterator[Any]:
        compression = grpc.Compression.Gzip if options.compression else None
        chosen = grpcio_client_options(options)
        credentials = grpcio_credentials(place)
        if credentials is None:
            opened = grpc.aio.insecure_channel(target, chosen, compression)
        else:
            opened = grpc.aio.secure_channel(target, credentials, chosen, compression)
        async with opened as channel:
            yield channel
