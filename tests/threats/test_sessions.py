"""TLS sessions are not resumed; and one that was resumed would prove nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from typing import TYPE_CHECKING

import pytest

from finial.runtime.rpc import ServerTls, TlsIdentity
from finial.runtime.rpc import tls as tls_module
from finial.spiffe.x509_svid import VerifiedX509Svid
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.spiffe.x509_svid import X509Svid
    from tests.fakes.server_api import ApiLab

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
GOAWAY = b"\0\0\x08\7\0\0\0\0\0" + bytes(8)
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


def client_context(version: ssl.TLSVersion, svid: X509Svid) -> ssl.SSLContext:
    """Any client's, which would gladly resume."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    load(context, svid)
    return context


def load(context: ssl.SSLContext, svid: X509Svid) -> None:
    with tempfile.NamedTemporaryFile() as file:
        chain = b"".join(tls_module._pem("CERTIFICATE", der) for der in svid.chain)
        file.write(chain + tls_module._pem("PRIVATE KEY", svid.key_pkcs8))
        file.flush()
        context.load_cert_chain(file.name)


def visit(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[bool, ssl.SSLSession | None]:
    """One connection on which the server answered: whether it was resumed, and its session."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as sock,
        context.wrap_socket(sock, session=session) as connection,
    ):
        connection.sendall(HELLO)
        assert connection.recv(9)
        outcome = bool(connection.session_reused), connection.session
        # A connection that does not end in order takes its session with it: be a client that does.
        connection.sendall(GOAWAY)
        while connection.recv(65536):
            pass
        return outcome


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_that_offers_its_old_session_starts_anew(
    lab: ApiLab, version: ssl.TLSVersion
) -> None:
    context = client_context(version, lab.ca.issue("spiffe://example.org/web"))
    reused, session = await asyncio.to_thread(visit, lab.port, context, None)
    assert session is not None
    assert not reused
    assert not session.has_ticket
    reused, _ = await asyncio.to_thread(visit, lab.port, context, session)
    assert not reused


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resumed_session_is_refused_although_its_certificate_was_good(
    version: ssl.TLSVersion,
) -> None:
    ca = FakeCa()
    server, client = (
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        client_context(version, ca.issue("spiffe://example.org/web")),
    )
    server.verify_mode = ssl.CERT_OPTIONAL
    server.verify_flags = ssl.VerifyFlags(int(server.verify_flags) | tls_module.NO_CHECK_TIME)
    server.load_verify_locations(cadata=ca.der)
    server.set_alpn_protocols(["h2"])
    own = ca.issue("spiffe://example.org/spire/server")
    load(server, own)
    guard = ServerTls(
        lambda: TlsIdentity(own.chain, own.key_pkcs8), lambda: (ca.bundle(),), FakeClock()
    )
    first, session = handshake(server, client, None)
    assert isinstance(guard.verify(first), VerifiedX509Svid)
    again, _ = handshake(server, client, session)
    assert again.session_reused
    with pytest.raises(ssl.SSLError, match="reused session"):
        guard.verify(again)


def handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLObject, ssl.SSLSession | None]:
    """Shake hands in memory; the server's end, and the client's session."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client.wrap_bio(to_client, to_server, session=session)
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    ends: Sequence[ssl.SSLObject] = (theirs, ours)
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    ours.write(b"x")
    assert theirs.read(1) == b"x"
    return ours, theirs.session
