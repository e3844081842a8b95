"""TLS of HTTPS: a server that asks clients for nothing, and clients that judge servers.

Versions and cipher suites are those of Mozilla's "intermediate" configuration, as SPIFFE Federation
section 5.2 has it (FED-10).
"""

import ssl
from collections.abc import Callable

from finial.runtime.rpc.tls import NO_CHECK_TIME, PARTIAL_CHAIN, TlsIdentity, load_identity
from finial.spiffe.bundle import Bundle

CIPHERS = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for key in ("ECDSA", "RSA")
)
"""Of TLS 1.2; those of 1.3 are all sound."""


class WebServerTls:
    """Serves with the identity of the moment, and demands no certificate (FED-17).

    `identity` gives the same object until there is another; it may raise ValueError or OSError,
    which ends the handshake that asked.
    """

    def __init__(self, identity: Callable[[], TlsIdentity]) -> None:
        self._identity = identity
        self._made_of: TlsIdentity | None = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        identity = self._identity()
        if self._context is None or self._made_of is not identity:
            self._context = server_context(identity)
            self._made_of = identity
        return self._context


def server_context(identity: TlsIdentity) -> ssl.SSLContext:
    """A server's context.

    Raises:
        ssl.SSLError, ValueError: certificate and key do not fit, or cannot be used.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0
    load_identity(context, identity)
    return context


def web_context() -> ssl.SSLContext:
    """A client's context that trusts the system's authorities, or those of SSL_CERT_FILE.

    The host's name must be among the certificate's (RFC 6125; FED-22). Reads files: not for the
    event loop.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = True
    context.hostname_checks_common_name = False
    context.set_default_verify_paths()
    return context


def spiffe_context(bundle: Bundle) -> ssl.SSLContext:
    """A client's context that takes chains up to a bundle's authorities, of whatever name.

    Who it is, and whether its certificates are valid now, is still to be judged.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags = ssl.VerifyFlags(
        int(context.verify_flags) | NO_CHECK_TIME | PARTIAL_CHAIN
    )
    roots = bundle.x509_der()
    if roots:
        context.load_verify_locations(cadata=roots)
    return context


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # FED-10
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    return context
