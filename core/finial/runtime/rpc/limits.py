"""The bounds a connection, a stream and a message are held to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server or channel. Sizes are bytes, times seconds."""

    max_receive_message: int = 4 * 1024 * 1024
    """A longer inbound message ends its call with RESOURCE_EXHAUSTED (grpc's own default)."""

    max_concurrent_streams: int = 1024
    """Announced to the peer; a stream above it is refused with REFUSED_STREAM."""

    max_header_list: int = 16 * 1024
    """RFC 9113 SETTINGS_MAX_HEADER_LIST_SIZE; a longer list ends the connection."""

    stream_window: int = 256 * 1024
    """What a peer may send on one stream ahead of the reader."""

    connection_window: int = 1024 * 1024
    """What a peer may have in flight on one connection."""

    max_write_backlog: int = 1024 * 1024
    """A peer that lets this much pile up unread loses its connection."""

    handshake_timeout: float = 10.0
    """From accept to the end of the TLS handshake, and again to the first HTTP/2 request."""

    connection_age: float | None = None
    """After it, spread by `connection_age_jitter`, the peer is told to reconnect (GOAWAY)."""

    connection_age_jitter: float = 0.1
    """Share of the age by which it varies either way, so that a fleet does not move at once."""

    connection_age_grace: float = 30.0
    """How long calls may go on after that GOAWAY before they are cut."""

    drain_grace: float = 5.0
    """How long a stopping server waits for its calls."""

    connect_timeout: float = 20.0
    """A channel's bound on connecting, all addresses and the handshake together."""

    keepalive: float | None = None
    """With no byte from the peer for so long, it is sent a PING."""

    keepalive_timeout: float = 20.0
    """A PING unanswered for so long ends the connection."""
