"""What one side of a connection sends: header blocks kept as bytes, data as windows allow.

h2 keeps the state; only the building of its frame objects is passed over.
"""

from struct import Struct
from typing import Any

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection, H2ConnectionStateMachine
from h2.frame_buffer import FrameBuffer
from h2.stream import H2Stream, StreamClosedBy, StreamState
from h2.windows import WindowManager
from hyperframe.frame import (
    AltSvcFrame,
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from finial.runtime.rpc.hpack import FastDecoder, Header, ResponseDecoder, StatelessEncoder
from finial.runtime.rpc.limits import Limits
from finial.runtime.rpc.settings import CompactSettings, announced

FRAME_HEADER = Struct(">HBBBL")
U32 = Struct(">L")
END_STREAM, END_HEADERS = 0x1, 0x4
# Late frames are lawful until the peer has heard of a reset, and all streams may be reset at once:
# as many as are open by default.
_CLOSED_KEPT = 1024
_BURST = 64 * 1024
# 4 KiB. Less of a message in one go earns the peer nothing: it may be opening its window byte by
# byte.
_PIECE = 12
_CLIENT = H2Configuration(
    client_side=True,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)
_SERVER = H2Configuration(
    client_side=False,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


_RECEIVERS: dict[type[Frame], str] = {
    HeadersFrame: "_receive_headers_frame",
    PushPromiseFrame: "_receive_push_promise_frame",
    SettingsFrame: "_receive_settings_frame",
    DataFrame: "_receive_data_frame",
    WindowUpdateFrame: "_receive_window_update_frame",
    PingFrame: "_receive_ping_frame",
    RstStreamFrame: "_receive_rst_stream_frame",
    PriorityFrame: "_receive_priority_frame",
    GoAwayFrame: "_receive_goaway_frame",
    ContinuationFrame: "_receive_naked_continuation",
    AltSvcFrame: "_receive_alt_svc_frame",
    ExtensionFrame: "_receive_unknown_frame",
}


class _Dispatch:
    """Finds the method of a connection that takes a frame."""

    __slots__ = ("_connection",)

    def __init__(self, connection: H2Connection) -> None:
        self._connection = connection

    def __getitem__(self, frame: type[Frame]) -> Any:
        return getattr(self._connection, _RECEIVERS[frame])


class Sender(H2Connection):
    """The sending half of an Engine; `take` gives what is to be written."""

    def __init__(self, limits: Limits, *, client: bool) -> None:
        # Messages and statuses sent, and pieces of 4 KiB of long messages.
        self.answers = 0
        # In place of h2's own, which makes each of the large parts once more, for nothing. A test
        # compares what the two leave behind.
        self.config = _CLIENT if client else _SERVER
        self.state_machine = H2ConnectionStateMachine()
        self.streams: dict[int, H2Stream] = {}
        self.highest_inbound_stream_id = 0
        self.highest_outbound_stream_id = 0
        self.encoder: StatelessEncoder = StatelessEncoder()
        decoder = ResponseDecoder if client else FastDecoder
        self.decoder: FastDecoder = decoder(limits.max_header_list)
        self.local_settings, self._preface = announced(limits, client=client)
        self.remote_settings = CompactSettings(client=not client)
        self.outbound_flow_control_window = self.remote_settings.initial_window_size
        self.max_outbound_frame_size = self.remote_settings.max_frame_size
        self.max_inbound_frame_size = self.local_settings.max_frame_size
        self.incoming_buffer = FrameBuffer(server=not client)
        self._header_frames: list[Frame] = []
        self._data_to_send = bytearray()
        # Bounded by `_remember`; h2's own keeps 65,536 in a heavier dict.
        self._closed_streams: dict[int, StreamClosedBy | None] = {}
        self._inbound_flow_control_window_manager = WindowManager(limits.connection_window)

    @property
    def _frame_dispatch_table(self) -> _Dispatch:  # type: ignore[override]
        """h2's own table, looked up when it is needed: a dozen bound methods are 2 KiB."""
        return _Dispatch(self)

    def initiate_connection(self) -> None:
        """Queue the preface and SETTINGS."""
        self._data_to_send += self._preface

    def take(self) -> bytearray | None:
        """Return what is to be written, once; None when there is nothing."""
        out = self._data_to_send
        if not out:
            return None
        self._data_to_send = bytearray()
        return out

    @property
    def queued(self) -> int:
        """Bytes waiting for `take`."""
        return len(self._data_to_send)

    @property
    def closed(self) -> bool:
        return self.state_machine.state is ConnectionState.CLOSED

    @property
    def greeted(self) -> bool:
        """Whether the client has sent its preface."""
        return not self.incoming_buffer._preamble_len  # noqa: SLF001

    @property
    def open_streams(self) -> int:
        return len(self.streams)

    def is_open_to(self, stream_id: int) -> bool:
        """Whether the peer's window for the stream itself has room."""
        stream = self.streams.get(stream_id)
        return stream is not None and stream.outbound_flow_control_window > 0

    @property
    def peer_allows(self) -> int:
        """How many streams the peer lets us have open at once."""
        return self.remote_settings.max_concurrent_streams

    def send_block(self, stream_id: int, block: bytes, *, end: bool) -> None:
        """Send response headers or trailers from `hpack.encode_block`. The stream must be open."""
        stream = self.streams[stream_id]
        machine = stream.state_machine
        if machine.headers_sent:
            machine.trailers_sent = True
        machine.headers_sent = True
        encoder = self.encoder
        if encoder.header_table.resized:
            block = encoder.prefix() + block
        out = self._data_to_send
        size, most = len(block), self.max_outbound_frame_size
        flags = END_STREAM if end else 0
        if size <= most:
            out += FRAME_HEADER.pack(size >> 8, size & 0xFF, 1, flags | END_HEADERS, stream_id)
            out += block
        else:
            out += FRAME_HEADER.pack(most >> 8, most & 0xFF, 1, flags, stream_id) + block[:most]
            for at in range(most, size, most):
                part = block[at : at + most]
                last = END_HEADERS if at + most >= size else 0
                out += (
                    FRAME_HEADER.pack(len(part) >> 8, len(part) & 0xFF, 9, last, stream_id) + part
                )
        if end:
            self.answers += 1
            self._ended_here(stream)

    def send_bytes(self, stream_id: int, data: bytes, start: int, *, end: bool = False) -> int:
        """Queue as much of `data` from `start` as the peer's windows and 64 KiB allow.

        Returns where the next call goes on. With `end` the last frame half-closes the stream.
        """
        stream = self.streams[stream_id]
        out = self._data_to_send
        most = self.max_outbound_frame_size
        room = min(self.outbound_flow_control_window, stream.outbound_flow_control_window)
        stop = min(len(data), start + min(room, _BURST))
        at = start
        while at < stop:
            size = min(most, stop - at)
            last = END_STREAM if end and at + size == len(data) else 0
            out += FRAME_HEADER.pack(size >> 8, size & 0xFF, 0, last, stream_id)
            out += data if size == len(data) else memoryview(data)[at : at + size]
            at += size
        sent = at - start
        if sent:
            self.outbound_flow_control_window -= sent
            stream.outbound_flow_control_window -= sent
            if at == len(data):
                self.answers += 1 + (sent >> _PIECE)
                if end:
                    self._ended_here(stream)
            else:
                self.answers += sent >> _PIECE
        return at

    def send_end(self, stream_id: int) -> None:
        """Half-close a stream with an empty DATA frame."""
        stream = self.streams[stream_id]
        self._data_to_send += FRAME_HEADER.pack(0, 0, 0, END_STREAM, stream_id)
        self._ended_here(stream)

    def open_request(self, stream_id: int, headers: tuple[Header, ...]) -> None:
        """Open a stream of ours with its request headers."""
        self.send_headers(stream_id, headers)

    def reset(self, stream_id: int, error: int) -> None:
        """Send RST_STREAM unless the stream is closed already."""
        stream = self.streams.get(stream_id)
        if stream is None or self.closed:
            return
        self._data_to_send += FRAME_HEADER.pack(0, 4, 3, 0, stream_id) + U32.pack(error)
        stream.state_machine.state = StreamState.CLOSED
        self._forget(stream, StreamClosedBy.SEND_RST_STREAM)

    def send_goaway(self, last_stream_id: int, error: int, debug: bytes = b"") -> None:
        """Send GOAWAY and go on: h2 itself would take the connection for closed."""
        self._data_to_send += GoAwayFrame(
            0, last_stream_id=last_stream_id, error_code=error, additional_data=debug
        ).serialize()

    def credit_connection(self, size: int) -> None:
        """Let the peer send `size` more bytes on the connection, in updates of half a window."""
        manager = self._inbound_flow_control_window_manager
        processed = manager._bytes_processed + size  # noqa: SLF001
        if processed < manager.max_window_size >> 1 and manager.current_window_size:
            manager._bytes_processed = processed  # noqa: SLF001  # not enough for an update
        elif increment := manager.process_bytes(size):
            self._window_update(0, increment)

    def credit_stream(self, stream_id: int, size: int) -> None:
        """The same for one stream; nothing when the peer has no more to send on it."""
        stream = self.streams.get(stream_id)
        if stream is None or stream.state_machine.state is StreamState.HALF_CLOSED_REMOTE:
            return
        manager = stream._inbound_window_manager  # noqa: SLF001
        processed = manager._bytes_processed + size  # noqa: SLF001
        if processed < manager.max_window_size >> 1 and manager.current_window_size:
            manager._bytes_processed = processed  # noqa: SLF001
        elif increment := manager.process_bytes(size):
            self._window_update(stream_id, increment)

    def open_window(self, stream_id: int, size: int) -> int:
        """Let the peer send `size` bytes on a stream at once; returns by how much that is more."""
        stream = self.streams.get(stream_id)
        if stream is None or stream.state_machine.state is StreamState.HALF_CLOSED_REMOTE:
            return 0
        window = stream._inbound_window_manager  # noqa: SLF001
        increment = max(0, size - window.current_window_size)
        if increment:
            # Past the manager's own idea of the largest window: it comes back to that as the
            # message comes in, because these bytes are not credited again.
            window.current_window_size += increment
            self._window_update(stream_id, increment)
        return increment

    def _window_update(self, stream_id: int, increment: int) -> None:
        self._data_to_send += FRAME_HEADER.pack(0, 4, 8, 0, stream_id) + U32.pack(increment)

    def _ended_here(self, stream: H2Stream) -> None:
        machine = stream.state_machine
        if machine.state is StreamState.HALF_CLOSED_REMOTE:
            machine.state = StreamState.CLOSED
            self._forget(stream, StreamClosedBy.SEND_END_STREAM)
        else:
            machine.state = StreamState.HALF_CLOSED_LOCAL

    def _forget(self, stream: H2Stream, how: StreamClosedBy) -> None:
        """Drop a closed stream. Only resets are remembered: after them late frames are lawful."""
        stream.state_machine.stream_closed_by = how
        self.streams.pop(stream.stream_id, None)
        if how in (StreamClosedBy.SEND_RST_STREAM, StreamClosedBy.RECV_RST_STREAM):
            self._remember(stream.stream_id, how)

    def _remember(self, stream_id: int, how: StreamClosedBy) -> None:
        closed = self._closed_streams
        closed[stream_id] = how
        if len(closed) > _CLOSED_KEPT:
            del closed[next(iter(closed))]
