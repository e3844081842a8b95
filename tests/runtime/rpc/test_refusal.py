"""Requests that are HTTP but not gRPC's: what they are answered, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes

from finial.runtime.rpc import Limits, OpenGate, Server
from tests.fakes.clock import FakeClock
from tests.runtime.rpc.echo import Echo
from tests.runtime.rpc.wire import Wire, request, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def quiet(folder: Path, clock: FakeClock) -> AsyncIterator[Server]:
    """A server on a clock that stands still."""
    server = Server(clock=clock, gate=OpenGate(), limits=Limits(request_timeout=10))
    Echo().register(server)
    await server.listen_unix(folder / "q", mode=0o600)
    yield server
    await server.drain(0)


@pytest.fixture
async def wire(quiet: Server, folder: Path) -> AsyncIterator[Wire]:  # noqa: ARG001
    wire = await Wire.connect(folder / "q")
    yield wire
    wire.close()


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({"content_type": b"text/html"}, b"415", b"application/grpc"),
        ({"content_type": None}, b"415", b"application/grpc"),
        ({"method": b"GET"}, b"405", b"POST"),
    ],
)
async def test_the_answer_says_what_is_wrong(
    wire: Wire, changes: dict[str, Any], status: bytes, word: bytes
) -> None:
    stream_id = wire.call(b"x", **changes)
    event = await wire.until(ResponseReceived, stream_id=stream_id)
    assert dict(event.headers)[b":status"] == status
    assert word in (await wire.until(DataReceived, stream_id=stream_id)).data
    await wire.until(StreamEnded, stream_id=stream_id)


async def nothing_is_said(wire: Wire, kind: type[Event] = ResponseReceived) -> None:
    """A PING is answered, and nothing has come before it."""
    wire.h2.ping(b"anything")
    wire.flush()
    await wire.until(PingAckReceived)
    assert not [event for event in wire.events if isinstance(event, kind)]


async def test_the_request_is_heard_to_its_end_first(wire: Wire) -> None:
    stream_id = wire.call(b"x", end=False, content_type=None)
    await nothing_is_said(wire)
    wire.h2.end_stream(stream_id)
    wire.flush()
    await wire.until(ResponseReceived, stream_id=stream_id)


async def test_a_body_of_another_length_than_declared_is_a_breach(wire: Wire) -> None:
    stream_id = wire.h2.get_next_available_stream_id()
    wire.h2.send_headers(stream_id, request(content_type=None, content_length=b"2"))
    wire.flush()
    wire.send(b"\0\0\1\0\1" + stream_id.to_bytes(4, "big") + b"x")
    goaway = b"\x07\0\0\0\0\0" + stream_id.to_bytes(4, "big")
    assert goaway + int(ErrorCodes.PROTOCOL_ERROR).to_bytes(4, "big") in await wire.closed()


async def test_a_long_body_is_not_waited_for(wire: Wire) -> None:
    stream_id = wire.call(None, end=False, content_type=None)
    for _ in range(5):
        wire.h2.send_data(stream_id, bytes(13_000))
    wire.flush()
    await nothing_is_said(wire)
    wire.h2.send_data(stream_id, bytes(600))
    wire.flush()
    await wire.until(ResponseReceived, stream_id=stream_id)
    event = await wire.until(StreamReset, stream_id=stream_id)
    assert event.error_code == ErrorCodes.NO_ERROR


async def test_a_slow_request_is_not_waited_for(wire: Wire, clock: FakeClock) -> None:
    # After a request that is gRPC's: without one the connection itself would not last as long.
    await wire.until(StreamEnded, stream_id=wire.call(b"x"))
    wire.events.clear()
    stream_id = wire.call(b"x", end=False, content_type=None)
    await nothing_is_said(wire)
    await clock.advance(9.9)
    await nothing_is_said(wire)
    await clock.advance(0.2)
    await wire.until(ResponseReceived, stream_id=stream_id)
    event = await wire.until(StreamReset, stream_id=stream_id)
    assert event.error_code == ErrorCodes.NO_ERROR


async def test_the_sentence_waits_for_the_clients_window(wire: Wire, quiet: Server) -> None:
    wire.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 3})
    wire.flush()
    await wire.until(SettingsAcknowledged)
    stream_id = wire.call(b"x", content_type=None)
    event = await wire.until(DataReceived, stream_id=stream_id)
    assert len(event.data) == 3
    await nothing_is_said(wire, StreamEnded)
    wire.h2.increment_flow_control_window(1000, stream_id)
    wire.flush()
    await wire.until(StreamEnded, stream_id=stream_id)
    (connection,) = quiet.connections
    assert not connection.streams


async def test_a_client_that_resets_or_leaves_is_forgotten(wire: Wire, quiet: Server) -> None:
    first = wire.call(b"x", end=False, content_type=None)
    wire.call(b"x", end=False, content_type=None)
    (connection,) = quiet.connections
    await until(lambda: len(connection.streams) == 2)
    wire.h2.reset_stream(first)
    wire.flush()
    await until(lambda: len(connection.streams) == 1)
    wire.close()
    await until(lambda: not quiet.connections)
    assert not connection.streams


async def test_a_stopping_server_cuts_it(wire: Wire, quiet: Server) -> None:
    stream_id = wire.call(b"x", end=False, content_type=None)
    (connection,) = quiet.connections
    await until(lambda: connection.streams)
    await quiet.drain(0)
    event = await wire.until(StreamReset, stream_id=stream_id)
    assert event.error_code == ErrorCodes.CANCEL
