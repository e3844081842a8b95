"""The bounds that connections are held to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Bounds of a server. Sizes are bytes, times seconds. The doors' are as in `rpc.Limits`."""

    max_head: int = 16 * 1024
    """Request line and header fields; longer ones are answered with 431."""

    max_body: int = 16 * 1024
    """A longer body is answered with 413."""

    handshake_timeout: float = 10.0
    """From accept to the end of the TLS handshake."""

    request_timeout: float = 10.0
    """From the end of the handshake to the first request, and from any request's first byte to its
    last."""

    idle_timeout: float = 60.0
    """Between the requests of a connection."""

    write_timeout: float = 30.0
    """In which a client must have taken a whole answer."""

    linger: float = 1.0
    """How long a connection that is to end still takes bytes and drops them, so that the answer is
    not lost to a reset."""

    connections_per_uid: int = 256
    connections_per_address: int = 256
    reserved_descriptors: int = 128

    drain_grace: float = 5.0
    """How long a stopping server waits for answers to be taken."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Bounds of one fetch."""

    total_timeout: float = 30.0
    """From the first question to a resolver to the last byte of the answer."""

    connect_timeout: float = 10.0
    """For one address: connection and handshake. The next is tried then."""

    max_head: int = 16 * 1024
    max_informational: int = 8
    """Answers of status 1xx before the one that counts."""
