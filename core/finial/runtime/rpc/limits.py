"""The bounds a connection, a stream and a message are held to."""

from dataclasses import dataclass

from finial.runtime.rpc.floods import FloodLimits

_FLOODS = FloodLimits()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server or channel. Sizes are bytes, times seconds."""

    max_receive_message: int = 4 * 1024 * 1024
    """A longer inbound message ends its call with RESOURCE_EXHAUSTED (grpc's own default)."""

    max_concurrent_streams: int = 1024
    """Announced to the peer; a stream above it is refused with REFUSED_STREAM."""

    max_header_list: int = 16 * 1024
    """RFC 9113 SETTINGS_MAX_HEADER_LIST_SIZE; a longer list ends the connection. A field counts for
    32 bytes and its text, so that there are 512 at most; a block may have no more bytes than its
    list, nor more than eight CONTINUATION frames (as nghttp2)."""

    stream_window: int = 256 * 1024
    """What a peer may send on one stream ahead of the reader. A message that is longer gets the
    window that it needs as soon as its length is known."""

    connection_window: int = 1024 * 1024
    """What a peer may have in flight on one connection."""

    connection_memory: int = 16 * 1024 * 1024
    """Bytes of the peer's that one connection holds: unfinished messages, unread ones, requests
    until they are answered, header fields of open calls. With one window more it is a bound; at
    least two of the longest messages. Half of it is for messages longer than `stream_window`, one
    after the other; of those that wait for their turn the longest are ended with RESOURCE_EXHAUSTED
    when all is used up, that is from about 32 at once."""

    max_unsent: int = 64 * 1024 * 1024
    """Bytes that a server lets wait for one client's windows and socket, at least eight of the
    longest messages; a call whose message would make them more ends with RESOURCE_EXHAUSTED. A
    message is counted whole until all of it has been taken. What a client sends is its own affair.
    """

    max_write_backlog: int = 1024 * 1024
    """A peer that lets this much pile up unread in its socket loses its connection."""

    message_timeout: float = 120.0
    """A message that has begun must be there, and a unary request from its first frame to its
    last; else the call ends with DEADLINE_EXCEEDED. Checked eight times within that time. The time
    between the messages of a stream is not counted."""

    send_timeout: float = 300.0
    """The same for a message that we send: a peer that does not take all of it in so long loses the
    call. Envoy flushes for as long."""

    floods: FloodLimits = _FLOODS
    """Rates of frames by kind."""

    connections_per_uid: int = 5_000
    """One user's connections to a Unix socket; one more is refused with GOAWAY."""

    connections_per_address: int = 10_000
    """One IPv4 address' or IPv6 /64's TCP connections; one more is reset before any TLS."""

    reserved_descriptors: int = 128
    """File descriptors that no connection takes, for databases, logs and pidfds."""

    handshake_timeout: float = 20.0
    """From accept to the end of the TLS handshake: as long as grpc-go's clients try, so that of a
    fleet that comes at once nobody is sent away who would have had its turn."""

    request_timeout: float = 10.0
    """From then to the first complete request, and for any one frame or header block to come in
    whole."""

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
