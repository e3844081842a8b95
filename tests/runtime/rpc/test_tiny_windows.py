"""Windows of a single byte, at whichever end: whole messages come through, one byte at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, SettingsAcknowledged, StreamEnded
from h2.settings import SettingCodes

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import Channel
from tests.runtime.rpc.echo import Stub
from tests.runtime.rpc.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

TINY: dict[SettingCodes | int, int] = {SettingCodes.INITIAL_WINDOW_SIZE: 1}
MESSAGE = b"a message of some thirty bytes"
FRAMED = b"\0" + len(MESSAGE).to_bytes(4, "big") + MESSAGE


@pytest.mark.usefixtures("server")
async def test_our_server_sends_as_the_client_lets_it(folder: Path) -> None:
    wire = await Wire.connect(folder / "s")
    wire.h2.update_settings(TINY)
    wire.flush()
    await wire.until(SettingsAcknowledged)
    slow, other = wire.call(MESSAGE), wire.call(MESSAGE)
    got = b""
    while got != FRAMED:
        event = await wire.until(DataReceived, stream_id=slow)
        assert len(event.data) == 1
        got += event.data
        if got != FRAMED:
            wire.h2.increment_flow_control_window(1, slow)
            wire.flush()
    await wire.until(StreamEnded, stream_id=slow)
    # Its neighbour has stood still, and comes through in one piece when it is let.
    assert (await wire.until(DataReceived, stream_id=other)).data == FRAMED[:1]
    wire.h2.increment_flow_control_window(1000, other)
    wire.flush()
    assert (await wire.until(DataReceived, stream_id=other)).data == FRAMED[1:]
    await wire.until(StreamEnded, stream_id=other)
    wire.close()


class Stingy:
    """A server that opens each window byte by byte, and says when it has had a whole request."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        h2.initiate_connection()
        h2.update_settings(TINY)
        writer.write(h2.data_to_send())
        while data := await reader.read(65536):
            for event in h2.receive_data(data):
                self._take(h2, event)
            writer.write(h2.data_to_send())
        writer.close()

    def _take(self, h2: H2Connection, event: object) -> None:
        if isinstance(event, RequestReceived):
            h2.send_headers(
                event.stream_id, [(":status", "200"), ("content-type", "application/grpc")]
            )
        elif isinstance(event, DataReceived):
            self.pieces.append(event.data)
            if event.stream_ended is None:
                h2.increment_flow_control_window(1, event.stream_id)
        elif isinstance(event, StreamEnded):
            h2.send_data(event.stream_id, b"".join(self.pieces))
            h2.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)


async def test_our_channel_sends_as_the_server_lets_it(folder: Path) -> None:
    stingy = Stingy()
    async with (
        await asyncio.start_unix_server(stingy, folder / "t"),
        Channel(f"unix:{folder / 't'}", clock=SystemClock()) as channel,
    ):
        # Until it knows of the window, a client may send as much as is usual.
        assert await Stub(channel).Plain(MESSAGE, timeout=20) == MESSAGE
        stingy.pieces.clear()
        assert await Stub(channel).Plain(MESSAGE, timeout=20) == MESSAGE
    assert stingy.pieces == [FRAMED[at : at + 1] for at in range(len(FRAMED))]
