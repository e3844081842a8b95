"""Clients that are slow to say anything, at the beginning of a connection and later."""

from pathlib import Path

import pytest
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived

from finial.runtime.rpc import Limits, OpenGate, Server
from tests.fakes.clock import FakeClock, settle
from tests.runtime.rpc.echo import Echo
from tests.runtime.rpc.wire import Wire, request, until

TIME = Limits().request_timeout


class Lab:
    """A server on the socket `s` of a folder, on a clock that stands still."""

    def __init__(self, folder: Path, echo: Echo) -> None:
        self.clock = FakeClock()
        self.server = Server(clock=self.clock, gate=OpenGate())
        echo.register(self.server)
        self._path = folder / "s"

    async def wire(self, *, greet: bool = True) -> Wire:
        if not self._path.exists():
            await self.server.listen_unix(self._path, mode=0o600)
        had = len(self.server.connections)
        wire = await Wire.connect(self._path, greet=greet)
        await until(lambda: len(self.server.connections) > had)
        return wire

    async def good(self) -> Wire:
        """A connection that has had an answer."""
        wire = await self.wire()
        await wire.until(DataReceived, stream_id=wire.call(b"x"))
        return wire

    async def took(self, wire: Wire, raw: bytes) -> None:
        """Send bytes and wait until the server has had them."""
        (connection,) = self.server.connections
        engine = connection.engine
        before = (engine.ended_bytes, engine._rest, engine.incoming_buffer._headers_buffer[:])
        wire.send(raw)
        await until(
            lambda: (
                before
                != (engine.ended_bytes, engine._rest, engine.incoming_buffer._headers_buffer[:])
            )
        )

    @property
    def alone(self) -> bool:
        return not self.server.connections


@pytest.fixture
def lab(folder: Path, echo: Echo) -> Lab:
    return Lab(folder, echo)


def frame(kind: int, flags: int, payload: bytes, stream_id: int = 1) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream_id.to_bytes(4, "big") + payload


@pytest.mark.parametrize("said", [b"", b"PRI * HTTP", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"])
async def test_a_client_without_a_whole_preface_is_dropped(lab: Lab, said: bytes) -> None:
    wire = await lab.wire(greet=False)
    wire.send(said)
    await settle()
    await lab.clock.advance(TIME - 0.1)
    assert not lab.alone
    await lab.clock.advance(0.2)
    await wire.closed()
    assert lab.alone
    await lab.server.drain(0)


@pytest.mark.parametrize(
    "said",
    [b"", b"\0\0\x20\1\4\0\0\0\1half a header block", b"\0\0\x08\6\0\0\0\0\0ping"],
)
async def test_a_client_that_greets_and_asks_for_nothing_is_let_go(lab: Lab, said: bytes) -> None:
    wire = await lab.wire()
    wire.send(said)
    await settle()
    await lab.clock.advance(TIME - 0.1)
    assert not lab.alone
    await lab.clock.advance(0.2)
    goaway = await wire.until(ConnectionTerminated)
    assert (goaway.error_code, goaway.last_stream_id) == (0, 0)
    await wire.closed()
    await until(lambda: lab.alone)
    await lab.server.drain(0)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (b"/test.Echo/Plain", b""),
        (b"/test.Echo/Plain", b"\0\0\0\0\5hal"),
        (b"/test.Echo/Plain", b"\0\0\0\0\5whole"),  # but the end of the stream
        (b"/test.Echo/Chat", b""),
        (b"/test.Echo/Chat", b"\0\0\0\0\5hal"),
    ],
)
async def test_a_first_request_that_is_never_complete_ends_the_connection(
    lab: Lab, path: bytes, body: bytes
) -> None:
    wire = await lab.wire()
    stream_id = wire.call(None, end=False, path=path)
    if body:
        wire.h2.send_data(stream_id, body)
        wire.flush()
    await settle()
    await lab.clock.advance(TIME - 0.1)
    assert not lab.alone
    await lab.clock.advance(0.2)
    ended = await wire.until(ResponseReceived, stream_id=stream_id)
    assert dict(ended.headers)[b"grpc-status"] == b"14"
    await wire.closed()
    await lab.server.drain(0)


async def test_a_stream_whose_first_message_has_come_may_go_on(lab: Lab) -> None:
    wire = await lab.wire()
    stream_id = wire.call(b"hello", end=False, path=b"/test.Echo/Chat")
    await wire.until(DataReceived, stream_id=stream_id)
    await lab.clock.advance(10 * TIME)
    wire.h2.send_data(stream_id, b"\0\0\0\0\5again", end_stream=True)
    wire.flush()
    assert (await wire.until(DataReceived, stream_id=stream_id)).data.endswith(b"AGAIN")
    wire.close()
    await lab.server.drain(0)


async def test_a_stream_that_ends_without_a_message_is_a_whole_request(lab: Lab) -> None:
    wire = await lab.wire()
    await wire.until(DataReceived, stream_id=wire.call(None, path=b"/test.Echo/Total"))
    await lab.clock.advance(10 * TIME)
    assert not lab.alone
    wire.close()
    await lab.server.drain(0)


async def test_a_client_that_has_been_served_may_be_idle(lab: Lab) -> None:
    wire = await lab.good()
    await lab.clock.advance(100 * TIME)
    await wire.until(DataReceived, stream_id=wire.call(b"still here"))
    wire.close()
    await lab.server.drain(0)


@pytest.mark.parametrize(
    "piece",
    [
        b"\0",
        b"\0\0\x40\1\4\0\0\0\3",
        b"\0\0\x10\0\0\0\0\0\1some",
        frame(1, 0, b"\x88", 3),  # HEADERS without END_HEADERS
    ],
)
async def test_a_frame_or_header_block_that_never_ends_ends_the_connection_at_any_time(
    lab: Lab, piece: bytes
) -> None:
    wire = await lab.good()
    await lab.clock.advance(5 * TIME)
    await lab.took(wire, piece)
    await lab.clock.advance(TIME - 0.1)
    assert not lab.alone
    await lab.clock.advance(0.2)
    await wire.closed()
    assert lab.alone
    await lab.server.drain(0)


async def test_a_frame_that_trickles_in_is_given_as_long_as_one_that_stops(lab: Lab) -> None:
    wire = await lab.good()
    await lab.took(wire, b"\0\0\x40\0\0\0\0\0\3")
    for _ in range(4):
        assert not lab.alone
        await lab.clock.advance(TIME / 4 + 0.1)
        wire.send(b"x")
    await wire.closed()
    assert lab.alone
    await lab.server.drain(0)


async def test_a_header_block_that_trickles_in_frame_by_frame_is_given_no_longer(lab: Lab) -> None:
    wire = await lab.good()
    await lab.took(wire, frame(1, 0, b"\x83", 3))
    for _ in range(4):
        assert not lab.alone
        await lab.took(wire, frame(9, 0, b"\x86", 3))
        await lab.clock.advance(TIME / 4 + 0.1)
    await wire.closed()
    assert lab.alone
    await lab.server.drain(0)


async def test_a_slow_client_that_gets_on_is_served(lab: Lab, echo: Echo) -> None:
    wire = await lab.good()
    wire.h2.send_headers(3, request())
    head = wire.h2.data_to_send()
    body = head
    for byte in b"\0\0\0\0\x08slow but":
        body += frame(0, 0, bytes((byte,)), 3)
    body += frame(0, 1, b"", 3)
    await lab.took(wire, body[: len(head) + 5])
    for at in range(len(head) + 5, len(body), 10):  # always from one frame into the next
        await lab.clock.advance(TIME / 2)
        await lab.took(wire, body[at : at + 10])
    assert (await wire.until(DataReceived, stream_id=3)).data.endswith(b"slow but")
    assert len(echo.contexts) == 2
    wire.close()
    await lab.server.drain(0)
