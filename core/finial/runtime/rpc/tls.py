"""TLS by the standard library, verified by SPIFFE ID instead of host name.

OpenSSL proves that the peer holds its key and that the chain leads to some root of ours; which
trust domain's root it must be, and whether the certificates are valid now, is for `verify`.
Sessions are never reused: each handshake is judged anew.
"""

import os
import ssl
import sys
from asyncio import sslproto
from base64 import encodebytes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from finial.runtime.rpc.timers import MonotonicClock
from finial.spiffe.bundle import Bundle, BundleSet
from finial.spiffe.errors import X509SvidError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import VerifiedX509Svid, verify_chain

# OpenSSL's, for which the ssl module has no names. Validity is judged on the injected clock, and
# a trust anchor need not be self-signed.
NO_CHECK_TIME = 0x200000
PARTIAL_CHAIN = 0x80000
_BUFFER = 16 * 1024

Bundles = Callable[[], Sequence[Bundle]]
Verify = Callable[[Sequence[bytes]], VerifiedX509Svid]


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """Our certificate chain, leaf first, and its key."""

    chain_der: tuple[bytes, ...]
    key_pkcs8: bytes = field(repr=False)


class _Contexts:
    """The context for the present identity and bundles; made anew only when one has changed."""

    __slots__ = ("_context", "_made_of", "_make")

    def __init__(self, make: Callable[[], ssl.SSLContext]) -> None:
        self._make = make
        self._made_of: tuple[TlsIdentity | None, tuple[Bundle, ...]] | None = None
        self._context: ssl.SSLContext | None = None

    def get(self, identity: TlsIdentity | None, bundles: Sequence[Bundle]) -> ssl.SSLContext:
        made_of = self._made_of
        if (
            self._context is not None
            and made_of is not None
            and made_of[0] is identity
            and _same(made_of[1], bundles)
        ):
            return self._context
        context = self._make()
        if identity is not None:
            load_identity(context, identity)
        roots = b"".join(a.der for bundle in bundles for a in bundle.x509_authorities)
        if roots:
            context.load_verify_locations(cadata=roots)
        self._made_of = (identity, tuple(bundles))
        self._context = context
        return context


def _same(old: tuple[Bundle, ...], new: Sequence[Bundle]) -> bool:
    return len(old) == len(new) and all(a is b for a, b in zip(old, new, strict=True))


class ServerTls:
    """Serves with the identity of the moment; asks clients for a certificate, demands none.

    `verify` decides on a client's chain (DER, leaf first) and raises ValueError to refuse it; by
    default it is SPIFFE's validation against the client's own trust domain's bundle.
    """

    def __init__(
        self,
        identity: Callable[[], TlsIdentity],
        bundles: Bundles,
        clock: MonotonicClock,
        *,
        verify: Verify | None = None,
    ) -> None:
        self._identity = identity
        self._bundles = bundles
        self._verify = verify or _spiffe(bundles, clock)
        self._contexts = _Contexts(_server_context)
        self._listening: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection: at its handshake it looks up who we are."""
        if self._listening is None:
            self._listening = _server_context()
            self._listening.sni_callback = self._swap
        return self._listening

    def _swap(self, connection: Any, name: str | None, context: ssl.SSLContext) -> int | None:  # noqa: ARG002
        try:
            connection.context = self._contexts.get(self._identity(), self._bundles())
        except (ValueError, OSError):
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        return None

    def verify(self, connection: ssl.SSLObject) -> VerifiedX509Svid | None:
        """Return who the client is, None without a certificate.

        Raises:
            ValueError: its certificate proves nothing.
        """
        if connection.version() != "TLSv1.3":
            # OpenSSL now keeps the session in that context, for which the ssl module has no switch.
            # A client that offers it again is to find a context that has never heard of it: a
            # resumed session would be refused, and the client could not come back.
            self._listening = None
        _refuse_reuse(connection)
        # RFC 9113 section 3.3: over TLS, HTTP/2 is agreed on by ALPN and not assumed.
        if connection.selected_alpn_protocol() != "h2":
            raise ssl.SSLError("the client does not ask for HTTP/2 by ALPN")
        chain = unverified_chain(connection)
        return self._verify(chain) if chain else None


class ClientTls:
    """Connects as `identity` (None: as nobody) to the server that is `server_id`.

    With `server_id` None any SPIFFE ID that verifies will do. `verify` as for ServerTls.
    """

    def __init__(
        self,
        identity: Callable[[], TlsIdentity | None],
        bundles: Bundles,
        server_id: SpiffeId | None,
        clock: MonotonicClock,
        *,
        verify: Verify | None = None,
    ) -> None:
        self._identity = identity
        self._bundles = bundles
        self._server_id = server_id
        self._verify = verify or _spiffe(bundles, clock)
        self._contexts = _Contexts(_client_context)

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        return self._contexts.get(self._identity(), self._bundles())

    def verify(self, connection: ssl.SSLObject) -> VerifiedX509Svid:
        """Return who the server is. To be called before anything is sent to it.

        Raises:
            ValueError: its certificate proves nothing, or another ID than the one asked for.
        """
        _refuse_reuse(connection)
        svid = self._verify(unverified_chain(connection))
        if self._server_id is not None and svid.id != self._server_id:
            raise X509SvidError(f"the server is {svid.id}, not {self._server_id}")
        if connection.selected_alpn_protocol() != "h2":
            raise ssl.SSLError("the server does not speak HTTP/2")
        return svid


def unverified_chain(connection: Any) -> tuple[bytes, ...]:
    """Return the chain that the peer presented, DER, leaf first; empty when it presented none.

    Public from Python 3.13; before it, only the object within has it.
    """
    if sys.version_info >= (3, 13):
        return tuple(connection.get_unverified_chain() or ())
    chain = connection._sslobj.get_unverified_chain() or ()  # noqa: SLF001
    return tuple(cert.public_bytes(2) for cert in chain if cert is not None)


def trim_buffers() -> None:
    """Let asyncio read TLS in pieces of 16 KiB: it keeps a buffer of that size a connection."""
    sslproto.SSLProtocol.max_size = _BUFFER


def _spiffe(bundles: Bundles, clock: MonotonicClock) -> Verify:
    def verify(chain: Sequence[bytes]) -> VerifiedX509Svid:
        known = BundleSet(bundles())
        return verify_chain(chain, known, clock.time())

    return verify


def _refuse_reuse(connection: ssl.SSLObject) -> None:
    if connection.session_reused:
        raise ssl.SSLError("a reused session proves nothing about now")


def _server_context() -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_SERVER, ssl.CERT_OPTIONAL)
    context.num_tickets = 0
    return context


def _client_context() -> ssl.SSLContext:
    return _context(ssl.PROTOCOL_TLS_CLIENT, ssl.CERT_REQUIRED)


def _context(protocol: int, mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = mode
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.verify_flags = ssl.VerifyFlags(
        int(context.verify_flags) | NO_CHECK_TIME | PARTIAL_CHAIN
    )
    context.set_alpn_protocols(["h2"])
    return context


def load_identity(context: ssl.SSLContext, identity: TlsIdentity) -> None:
    """Hand OpenSSL the key through memory: the ssl module takes file names only."""
    fd = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.writelines(_pem("CERTIFICATE", der) for der in identity.chain_der)
            file.write(_pem("PRIVATE KEY", identity.key_pkcs8))
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _pem(label: str, der: bytes) -> bytes:
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (
        label.encode(),
        encodebytes(der),
        label.encode(),
    )
