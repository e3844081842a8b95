"""HTTP/2 for one connection: h2's state machine, with its most frequent frames taken shorter.

Every inbound frame goes one of two ways. A frame of the five kinds that make up nearly all of
gRPC's traffic, in its plain form and in a state where h2 would accept it, changes h2's own state
objects directly. Any other frame, odd or merely rare, is given to h2 byte for byte: what is an
error is decided there and nowhere else. Header fields pass h2's validation on both ways.

Sans I/O: bytes go in through `receive`, calls go out to the `Sink`, and `take` gives what is to be
written. Frames that cost the peer less than us are counted (`floods`).
"""

from collections.abc import Callable
from typing import Any, Protocol

from h2 import events
from h2.connection import ConnectionInputs, ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import DenialOfServiceError, FrameTooLargeError, ProtocolError
from h2.settings import SettingCodes
from h2.stream import H2Stream, StreamClosedBy, StreamState
from h2.utilities import HeaderValidationFlags, validate_headers
from hpack import HPACKError, OversizedHeaderListError
from hyperframe.frame import (
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    SettingsFrame,
)

from finial.runtime.rpc import floods
from finial.runtime.rpc.floods import FloodError, Meters
from finial.runtime.rpc.hpack import Header
from finial.runtime.rpc.limits import Limits
from finial.runtime.rpc.request import HeadCache, RequestHead
from finial.runtime.rpc.sender import END_HEADERS, END_STREAM, FRAME_HEADER, U32, Sender
from finial.runtime.rpc.settings import PREAMBLE

_MOST_WINDOW = 2**31 - 1
_REQUEST_FLAGS = HeaderValidationFlags(
    is_client=False, is_trailer=False, is_response_header=False, is_push_promise=False
)
LAST_STREAM = 2**31 - 1
# As many as nghttp2 takes.
_MOST_CONTINUATIONS = 8
_MOST_SETTINGS = 32
_SETTINGS = frozenset(SettingCodes)
# Padding and priority, which a header block's frame may have besides.
_BESIDES = 1 + 255 + 5
# A block that is longer has fields of its own, and is hardly sent twice.
_KEEP_BLOCK = 512
_STREAMS_A_SETTING = 1024
_PADDED = 0x8
_REFUSED = U32.pack(int(ErrorCodes.REFUSED_STREAM))
_COUNTED = {
    2: floods.PRIORITY,
    6: floods.PING,
    7: floods.GOAWAY,
    8: floods.WINDOW_UPDATE,
}


class Sink(Protocol):
    """Who hears what the peer did. `ended` says that the peer has half-closed the stream."""

    def on_request(
        self, stream_id: int, head: RequestHead, timeout: bytes | None, ended: bool
    ) -> None: ...
    def on_response(self, stream_id: int, headers: list[Header], ended: bool) -> None: ...
    def on_trailers(self, stream_id: int, headers: list[Header]) -> None: ...
    def on_data(self, stream_id: int, data: bytes, flow: int, ended: bool) -> None: ...
    def on_reset(self, stream_id: int, error: int) -> None: ...
    def on_window(self, stream_id: int) -> None: ...
    def on_settings(self) -> None: ...
    def on_goaway(self, last_stream_id: int, error: int, debug: bytes) -> None: ...
    def on_ping_answered(self, data: bytes) -> None: ...


class Engine(Sender):
    """One side of one HTTP/2 connection."""

    def __init__(
        self,
        sink: Sink,
        limits: Limits,
        heads: HeadCache,
        clock: Callable[[], float],
        *,
        client: bool,
    ) -> None:
        super().__init__(limits, client=client)
        self._sink = sink
        self._heads = heads
        self._max_streams = limits.max_concurrent_streams
        self._max_block = limits.max_header_list + _BESIDES
        self._block = 0  # bytes of the header block that has begun
        self._meters = Meters(floods.rates(limits.floods, limits.max_concurrent_streams), clock)
        self._left = self._meters.left
        # Handlers whose stream is over and who are not; they count as streams.
        self.lingering = 0
        self._rest = b""
        # Of frames that are over, not counting a header block's until it is: whether it has risen
        # says whether a peer in the middle of something gets on with it.
        self.ended_bytes = 0
        self._last: tuple[bytes, int, RequestHead] | None = None

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer.

        Raises:
            ProtocolError: the connection is lost; a GOAWAY that says so has been queued. A
                FloodError when it is for too much of something.
        """
        try:
            self._receive(data)
        except FloodError as error:
            if not self.closed:
                # What went above which limit is for our log alone.
                last, text = self.highest_inbound_stream_id, f"too many {error.kind}".encode()
                self.send_goaway(last, int(error.error_code), text)
                self.state_machine.process_input(ConnectionInputs.SEND_GOAWAY)
            raise
        except DenialOfServiceError as error:
            # h2's word for a header list that is too long; it has said GOAWAY.
            raise self._too_long() from error
        except ProtocolError as error:
            if not self.closed:
                self._terminate_connection(error.error_code)
            raise

    def _receive(self, data: bytes) -> None:
        if self.incoming_buffer._preamble_len:  # noqa: SLF001
            data = self._receive_preamble(data)
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while size - at >= 9:
            high, low, kind, flags, stream_id = FRAME_HEADER.unpack_from(data, at)
            start = at + 9
            end = start + (high << 8 | low)
            if end - start > self.max_inbound_frame_size:
                raise FrameTooLargeError(f"a frame of {end - start} bytes")
            if end > size:
                break
            stream_id &= _MOST_WINDOW
            if not self._fast(kind, flags, stream_id, data, start, end):
                self._weigh(kind, flags, stream_id, data, start, end)
                self._by_h2(data[at:end])
            at = end
        self._rest = data[at:] if at < size else b""
        if at and not self.incoming_buffer._headers_buffer:  # noqa: SLF001
            self.ended_bytes += at

    @property
    def unfinished(self) -> bool:
        """Whether the peer has begun a preface, a frame or a header block and not ended it."""
        buffer = self.incoming_buffer
        missing: int = buffer._preamble_len  # noqa: SLF001
        begun = 0 < missing < len(PREAMBLE)
        return bool(self._rest or buffer._headers_buffer) or begun  # noqa: SLF001

    def _receive_preamble(self, data: bytes) -> bytes:
        missing: int = self.incoming_buffer._preamble_len  # noqa: SLF001
        if missing == len(PREAMBLE) and data.startswith(PREAMBLE):
            self.incoming_buffer._preamble_len = 0  # noqa: SLF001
            return data[missing:]
        self.receive_data(data[:missing])
        return data[missing:]

    def _count(self, kind: int, weight: int = 1) -> None:
        left = self._left
        left[kind] -= weight
        if left[kind] < 0:
            self._meters.earn(kind, self.answers)

    def _fast(  # noqa: PLR0917  # the fields of a frame, once for each
        self, kind: int, flags: int, stream_id: int, data: bytes, start: int, end: int
    ) -> bool:
        """Handle a plain frame; False leaves it, untouched, to h2."""
        if self.incoming_buffer._headers_buffer:  # noqa: SLF001
            return False
        if kind == 4 and flags == 1 and not stream_id and start == end:
            self._count(floods.SETTINGS)
            self._local_settings_acked()
            return not self.closed
        state = self.state_machine.state
        if state is not ConnectionState.SERVER_OPEN and state is not ConnectionState.CLIENT_OPEN:
            return False
        if kind == 0:
            return self._fast_data(flags, stream_id, data[start:end])
        if kind == 1:
            return self._fast_request(flags, stream_id, data[start:end])
        if kind == 3:
            return self._fast_reset(stream_id, data, start, end)
        if kind == 8:
            return self._fast_window(stream_id, data, start, end)
        if kind == 6 and not flags and not stream_id and end - start == 8:
            self._count(floods.PING)
            self._data_to_send += b"\0\0\x08\x06\x01\0\0\0\0" + data[start:end]
            return True
        return False

    def _fast_data(self, flags: int, stream_id: int, data: bytes) -> bool:
        stream = self.streams.get(stream_id)
        if stream is None:
            return self._fast_late_data(stream_id, len(data))
        if flags > 1 or stream._expected_content_length is not None:  # noqa: SLF001
            return False
        machine = stream.state_machine
        state = machine.state
        if not machine.headers_received or (
            state is not StreamState.OPEN and state is not StreamState.HALF_CLOSED_LOCAL
        ):
            return False
        size = len(data)
        if not size and not flags:
            self._count(floods.EMPTY_DATA)
        whole = self._inbound_flow_control_window_manager
        own = stream._inbound_window_manager  # noqa: SLF001
        if size > whole.current_window_size or size > own.current_window_size:
            return False
        whole.current_window_size -= size
        own.current_window_size -= size
        if flags:
            if state is StreamState.OPEN:
                machine.state = StreamState.HALF_CLOSED_REMOTE
            else:
                machine.state = StreamState.CLOSED
                self._forget(stream, StreamClosedBy.RECV_END_STREAM)
        self._sink.on_data(stream_id, data, size, flags == 1)
        return True

    def _fast_late_data(self, stream_id: int, size: int) -> bool:
        """Pass over data that was under way when we reset its stream (RFC 9113 section 5.1)."""
        whole = self._inbound_flow_control_window_manager
        if (
            self._closed_streams.get(stream_id) is not StreamClosedBy.SEND_RST_STREAM
            or size > whole.current_window_size
        ):
            return False
        if not size:
            self._count(floods.WINDOW_UPDATE)
        whole.current_window_size -= size
        self.credit_connection(size)
        return True

    def _fast_request(self, flags: int, stream_id: int, block: bytes) -> bool:
        if (
            self.config.client_side
            or flags | END_STREAM != END_STREAM | END_HEADERS
            or stream_id <= self.highest_inbound_stream_id
            or not stream_id & 1
        ):
            return False
        if len(self.streams) + self.lingering >= self._max_streams:
            self._refuse_stream(stream_id, block)
            return True
        last = self._last
        timeout = None
        if last is not None and last[0] == block and last[1] == self.decoder.generation:
            head = last[2]
        else:
            head, timeout = self._understand(block)
        stream = H2Stream(
            stream_id,
            self.config,
            self.local_settings.initial_window_size,
            self.remote_settings.initial_window_size,
        )
        stream.max_outbound_frame_size = self.max_outbound_frame_size
        machine = stream.state_machine
        machine.client = False
        machine.headers_received = True
        ended = bool(flags & END_STREAM)
        machine.state = StreamState.HALF_CLOSED_REMOTE if ended else StreamState.OPEN
        if not head.plain:
            stream._initialize_content_length(head.headers)  # noqa: SLF001
            if ended:
                stream._track_content_length(0, end_stream=True)  # noqa: SLF001
        self.streams[stream_id] = stream
        self.highest_inbound_stream_id = stream_id
        self._sink.on_request(stream_id, head, timeout, ended)
        return True

    def _refuse_stream(self, stream_id: int, block: bytes) -> None:
        """Refuse one stream too many by itself: h2 would give up the connection."""
        last = self._last
        if last is None or last[0] != block or last[1] != self.decoder.generation:
            self._decode(block)
        self._count(floods.REFUSED)
        self.highest_inbound_stream_id = stream_id
        self._remember(stream_id, StreamClosedBy.SEND_RST_STREAM)
        self._data_to_send += FRAME_HEADER.pack(0, 4, 3, 0, stream_id) + _REFUSED

    def _understand(self, block: bytes) -> tuple[RequestHead, bytes | None]:
        before = self.decoder.generation
        fields = self._decode(block)
        headers, timeout = split_timeout(fields)
        head = self._heads.get(headers)
        if head is None:
            for _ in validate_headers(fields, _REQUEST_FLAGS):
                pass
            head = self._heads.add(headers)
        if timeout is None and self.decoder.generation == before and len(block) <= _KEEP_BLOCK:
            self._last = (block, before, head)
        return head, timeout

    def _decode(self, block: bytes) -> list[Header]:
        try:
            return list(self.decoder.decode(block))
        except OversizedHeaderListError as error:
            raise self._too_long() from error
        except (HPACKError, IndexError) as error:
            raise ProtocolError(f"bad header block: {error}") from error

    def _fast_reset(self, stream_id: int, data: bytes, start: int, end: int) -> bool:
        if end - start != 4:
            return False
        stream = self.streams.get(stream_id)
        if stream is None:
            if stream_id > max(self.highest_inbound_stream_id, self.highest_outbound_stream_id):
                # RFC 9113 section 5.1; h2 lets it pass.
                raise ProtocolError(f"reset of stream {stream_id}, which was never opened")
            self._count(floods.WINDOW_UPDATE)
            return bool(stream_id)
        if not stream.state_machine.headers_sent:
            self._count(floods.RESET)
        stream.state_machine.state = StreamState.CLOSED
        self._forget(stream, StreamClosedBy.RECV_RST_STREAM)
        self._sink.on_reset(stream_id, U32.unpack_from(data, start)[0])
        return True

    def _fast_window(self, stream_id: int, data: bytes, start: int, end: int) -> bool:
        if end - start != 4:
            return False
        increment: int = U32.unpack_from(data, start)[0] & _MOST_WINDOW
        if not increment:
            return False
        if not stream_id:
            if self.outbound_flow_control_window + increment > _MOST_WINDOW:
                return False
            self.outbound_flow_control_window += increment
        else:
            stream = self.streams.get(stream_id)
            if stream is None:
                return self._fast_late_window(stream_id)
            if stream.outbound_flow_control_window + increment > _MOST_WINDOW:
                return False
            stream.outbound_flow_control_window += increment
        self._count(floods.WINDOW_UPDATE)
        self._sink.on_window(stream_id)
        return True

    def _fast_late_window(self, stream_id: int) -> bool:
        """Pass over a window for a stream that is over; gRPC's clients open one for each call."""
        if stream_id > self._highest(stream_id):
            return False
        self._count(floods.WINDOW_UPDATE)
        return True

    def _highest(self, stream_id: int) -> int:
        """Return the last stream opened by the side that `stream_id` belongs to."""
        ours = self.config.client_side == bool(stream_id & 1)
        return self.highest_outbound_stream_id if ours else self.highest_inbound_stream_id

    # -- by h2 -----------------------------------------------------------------------------

    def _weigh(  # noqa: PLR0917
        self, kind: int, flags: int, stream_id: int, data: bytes, start: int, end: int
    ) -> None:
        """Count a frame that h2 is to take.

        Raises:
            FloodError: it is one too many.
        """
        size = end - start
        if kind == 0:
            padding = 1 + data[start] if flags & _PADDED and size else 0
            if size <= padding and not flags & END_STREAM:
                self._count(floods.EMPTY_DATA)
            if stream_id not in self.streams:
                self._count(floods.RESET)
        elif kind in (1, 9):
            self._weigh_block(kind, size)
        elif kind == 4:
            if size > 6 * _MOST_SETTINGS:
                raise FloodError("settings in one frame", _MOST_SETTINGS)
            self._count(floods.SETTINGS, 1 + len(self.streams) // _STREAMS_A_SETTING)
        elif kind in _COUNTED:
            self._count(_COUNTED[kind])
        elif kind > 9:
            self._count(floods.UNKNOWN)

    def _weigh_block(self, kind: int, size: int) -> None:
        self._block = size if kind == 1 else self._block + size
        begun = len(self.incoming_buffer._headers_buffer)  # noqa: SLF001
        if begun > _MOST_CONTINUATIONS:
            raise FloodError("CONTINUATION frames", f"{_MOST_CONTINUATIONS} in a header block")
        if self._block > self._max_block:
            raise self._too_long()

    def _too_long(self) -> FloodError:
        return FloodError("header fields", f"{self._max_block - _BESIDES} bytes")

    def _by_h2(self, frame: bytes) -> None:
        told = self.receive_data(frame)
        if len(frame) >= 9:
            stream = self.streams.get(U32.unpack_from(frame, 5)[0] & _MOST_WINDOW)
            if stream is not None and stream.closed:
                if stream.closed_by is StreamClosedBy.SEND_RST_STREAM:
                    self._count(floods.RESET)
                self._forget(stream, stream.closed_by or StreamClosedBy.RECV_END_STREAM)
        for event in told:
            self._tell(event)

    def _tell(self, event: events.Event) -> None:  # noqa: C901  # one case for each event
        sink = self._sink
        if isinstance(event, events.RequestReceived):
            headers, timeout = split_timeout(event.headers)
            head = self._heads.get(headers) or self._heads.add(headers)
            sink.on_request(event.stream_id, head, timeout, event.stream_ended is not None)
        elif isinstance(event, events.ResponseReceived):
            sink.on_response(event.stream_id, _plain(event.headers), event.stream_ended is not None)
        elif isinstance(event, events.TrailersReceived):
            sink.on_trailers(event.stream_id, _plain(event.headers))
        elif isinstance(event, events.InformationalResponseReceived):
            self._count(floods.UNKNOWN)
        elif isinstance(event, events.DataReceived):
            sink.on_data(
                event.stream_id,
                event.data or b"",
                event.flow_controlled_length,
                event.stream_ended is not None,
            )
        elif isinstance(event, events.StreamReset):
            sink.on_reset(event.stream_id, int(event.error_code or 0))
        elif isinstance(event, events.WindowUpdated):
            sink.on_window(event.stream_id or 0)
        elif isinstance(event, events.RemoteSettingsChanged):
            sink.on_settings()
        elif isinstance(event, events.PingAckReceived):
            sink.on_ping_answered(event.ping_data)
        elif isinstance(event, events.ConnectionTerminated):
            sink.on_goaway(
                event.last_stream_id or 0, int(event.error_code or 0), event.additional_data or b""
            )

    def _open_streams(self, remainder: int) -> int:  # noqa: ARG002
        """Count streams: closed ones are forgotten at once, where h2 walks over all of them."""
        return len(self.streams)

    def _receive_headers_frame(self, frame: HeadersFrame) -> Any:
        stream_id = frame.stream_id
        if (
            self.config.client_side
            or stream_id <= self.highest_inbound_stream_id
            or len(self.streams) + self.lingering < self._max_streams
            or not stream_id & 1
        ):
            return super()._receive_headers_frame(frame)
        self._refuse_stream(stream_id, frame.data)
        return [], []

    def _receive_settings_frame(self, frame: SettingsFrame) -> Any:
        """Take what is known of the settings: h2 would keep the others."""
        frame.settings = {key: value for key, value in frame.settings.items() if key in _SETTINGS}
        told = super()._receive_settings_frame(frame)
        changes = self.encoder.table_size_changes
        if len(changes) > 2:
            # RFC 7541 section 4.2: the smallest and the last are all that the peer must hear of.
            changes[:] = [min(changes), changes[-1]]
        return told

    def _handle_data_on_closed_stream(self, told: Any, error: Any, frame: DataFrame) -> Any:
        """Pass over data for a stream that we have reset; its window was taken by h2 before."""
        if self._closed_streams.get(frame.stream_id) is StreamClosedBy.SEND_RST_STREAM:
            self.credit_connection(frame.flow_controlled_length)
            return [], told
        return super()._handle_data_on_closed_stream(told, error, frame)

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> Any:
        """Tell of a GOAWAY and go on: h2 would cut the streams that the peer still serves."""
        event = events.ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data
        return [], [event]


def split_timeout(headers: Any) -> tuple[tuple[Header, ...], bytes | None]:
    """Take grpc-timeout, which differs from call to call, out of the fields."""
    for at, field in enumerate(headers):
        if field[0] == b"grpc-timeout":
            rest = headers[:at] + headers[at + 1 :]
            return tuple((name, value) for name, value in rest), field[1]
    return tuple(headers), None


def _plain(headers: Any) -> list[Header]:
    return [(name, value) for name, value in headers or ()]
