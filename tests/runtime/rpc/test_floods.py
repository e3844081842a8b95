"""Peers that send frames which cost them less than us."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from h2.events import DataReceived

from finial.runtime.rpc import Limits, OpenGate, Server
from finial.runtime.rpc.engine import Engine
from finial.runtime.rpc.floods import FloodError, FloodLimits, Rate
from finial.runtime.rpc.hpack import FastDecoder, encode_block
from finial.runtime.rpc.request import HeadCache
from tests.fakes.clock import FakeClock
from tests.runtime.rpc import frames
from tests.runtime.rpc.echo import Echo
from tests.runtime.rpc.frames import END_HEADERS, END_STREAM, PADDED, PREFACE, block, frame
from tests.runtime.rpc.wire import Wire, until

FLOODS = FloodLimits()
SETTING = b"\0\4\0\1\0\0"  # INITIAL_WINDOW_SIZE
WATCH = b"/test.Echo/Watch"
HANG = b"/test.Echo/Hang"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def still(folder: Path, echo: Echo, clock: FakeClock) -> AsyncIterator[Server]:
    """A server with the default limits and a clock that stands still."""
    server = Server(clock=clock, gate=OpenGate(), name="test")
    echo.register(server)
    await server.listen_unix(folder / "f", mode=0o600)
    yield server
    await server.drain(0)


@pytest.fixture
async def wire(still: Server, folder: Path) -> AsyncIterator[Wire]:  # noqa: ARG001
    """A client with a stream that is open (1) and one that is over (3)."""
    wire = await Wire.connect(folder / "f")
    await wire.until(DataReceived, stream_id=wire.call(b"x", end=False, path=b"/test.Echo/Chat"))
    await wire.until(DataReceived, stream_id=wire.call(b"x"))
    yield wire
    wire.close()


@asynccontextmanager
async def serving(echo: Echo, folder: Path, limits: Limits) -> AsyncIterator[Server]:
    """Serve `echo` on the socket `l` with limits of its own."""
    server = Server(clock=FakeClock(), gate=OpenGate(), limits=limits)
    echo.register(server)
    await server.listen_unix(folder / "l", mode=0o600)
    yield server
    await server.drain(0)


async def pong(wire: Wire, raw: bytes = b"") -> bytes:
    """Send `raw` and a PING and return all that comes up to its answer."""
    wire.send(raw + frame(6, 0, 0, b"pingpong"))
    out = b""
    async with asyncio.timeout(30):
        while b"pingpong" not in out:
            data = await wire.reader.read(65536)
            assert data
            out += data
    return out


async def ended(wire: Wire, raw: bytes) -> tuple[int, bytes]:
    """Send it and return the error and the text of the GOAWAY that ends the connection."""
    wire.send(raw)
    async with asyncio.timeout(30):
        return frames.goaway(await wire.closed())


FRAMES = {
    "ping": (frame(6, 0, 0, bytes(8)), FLOODS.ping, b"too many PING frames"),
    "answers to no ping": (frame(6, 1, 0, bytes(8)), FLOODS.ping, b"too many PING frames"),
    "settings": (frame(4, 0, 0, SETTING), FLOODS.settings, b"too many SETTINGS frames"),
    "empty settings": (frame(4, 0, 0), FLOODS.settings, b"too many SETTINGS frames"),
    "answers to no settings": (frame(4, 1, 0), FLOODS.settings, b"too many SETTINGS frames"),
    "priority": (frame(2, 0, 1, bytes(5)), FLOODS.priority, b"too many PRIORITY frames"),
    "unknown": (frame(0x2A, 7, 1, b"?"), FLOODS.unknown, b"too many frames of unknown types"),
    "altsvc": (frame(10, 0, 0, b"\0\0"), FLOODS.unknown, b"too many frames of unknown types"),
    "empty data": (frame(0, 0, 1), FLOODS.empty_data, b"too many empty DATA frames"),
    "padding": (frame(0, PADDED, 1, b"\3\0\0\0"), FLOODS.empty_data, b"too many empty DATA frames"),
    "window": (frame(8, 0, 0, b"\0\0\0\1"), FLOODS.window_update, b"too many WINDOW_UPDATE frames"),
    "own window": (
        frame(8, 0, 1, b"\0\0\0\1"),
        FLOODS.window_update,
        b"too many WINDOW_UPDATE frames",
    ),
    "late window": (
        frame(8, 0, 3, b"\0\0\0\1"),
        FLOODS.window_update,
        b"too many WINDOW_UPDATE frames",
    ),
    "late reset": (
        frame(3, 0, 3, b"\0\0\0\x08"),
        FLOODS.window_update,
        b"too many WINDOW_UPDATE frames",
    ),
    "goaway": (
        frame(7, 0, 0, b"\0\0\0\1\0\0\0\0"),
        FLOODS.goaway,
        b"too many GOAWAY frames",
    ),
}


@pytest.mark.parametrize("kind", FRAMES)
async def test_a_flood_ends_its_connection(wire: Wire, kind: str) -> None:
    unit, rate, said = FRAMES[kind]
    assert await ended(wire, unit * (rate.burst + 100)) == (frames.CALM, said)


@pytest.mark.parametrize("kind", [kind for kind in FRAMES if kind != "goaway"])
async def test_up_to_the_burst_nothing_happens(wire: Wire, kind: str) -> None:
    unit, rate, _ = FRAMES[kind]
    wire.send(unit * (rate.burst - 5))
    await wire.until(DataReceived, stream_id=wire.call(b"still served"))


async def test_in_time_a_rate_is_earned_again(wire: Wire, clock: FakeClock) -> None:
    unit, rate, _ = FRAMES["priority"]
    for _ in range(5):
        wire.send(unit * (rate.burst - 5))
        await wire.until(DataReceived, stream_id=wire.call(b"still served"))
        await clock.advance(rate.burst / rate.per_second)
    await clock.advance(30 * 24 * 3600)  # no more than one burst of it is kept
    assert await ended(wire, unit * (2 * rate.burst + 100)) == (
        frames.CALM,
        b"too many PRIORITY frames",
    )


async def test_a_flood_is_logged_with_who_what_and_how_much(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "finial"):
        await ended(wire, frame(6, 0, 0, bytes(8)) * 2000)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    text = str(vars(record))
    assert "too many PING frames" in text
    assert "uid " in text
    assert "1000 and 20/s" in text


# -- streams that are begun and reset ------------------------------------------------------


def requests(first: int, count: int, path: bytes, then: bytes) -> bytes:
    """Return so many whole requests, each with a frame after it."""
    fields, body = block(path), b"\0\0\0\0\1x"
    return b"".join(
        frame(1, END_HEADERS, stream_id, fields)
        + frame(0, END_STREAM, stream_id, body)
        + (then[:5] + stream_id.to_bytes(4, "big") + then[9:] if then else b"")
        for stream_id in range(first, first + 2 * count, 2)
    )


def cancel(stream_id: int) -> bytes:
    return frame(3, 0, stream_id, b"\0\0\0\x08")


NOTHING = b""
CANCEL = cancel(0)


async def test_a_rapid_reset_ends_its_connection(wire: Wire) -> None:
    attack = requests(5, 3000, HANG, CANCEL)
    assert await ended(wire, attack) == (frames.CALM, b"too many streams reset before their answer")


async def test_streams_that_were_answered_may_be_cancelled(wire: Wire, echo: Echo) -> None:
    # go-spiffe's FetchX509SVID: the first message, and then a reset.
    wire.send(requests(5, 3000, WATCH, CANCEL))
    assert frames.goaway(await pong(wire)) == (-1, b"")
    assert len(echo.contexts) == 3002


BREACHES = {
    "a window too large": frame(8, 0, 0, b"\x7f\xff\xff\xff"),
    "data after the end": frame(0, 0, 0, b"late"),
    "a second request": frame(1, END_HEADERS, 0, block()),
}


@pytest.mark.parametrize("breach", BREACHES)
async def test_making_us_reset_is_no_way_round_it(folder: Path, echo: Echo, breach: str) -> None:
    limits = Limits(max_concurrent_streams=10, floods=FloodLimits(reset=Rate(100, 1)))
    async with serving(echo, folder, limits):
        wire = await Wire.connect(folder / "l")
        for first in range(1, 200, 20):
            await pong(wire, requests(first, 10, HANG, BREACHES[breach]))
        said = await ended(wire, requests(201, 10, HANG, BREACHES[breach]))
    assert said == (frames.CALM, b"too many streams reset before their answer")


class Stubborn(Echo):
    """Its `Hang` does not stop before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_stop = asyncio.Event()
        self.begun = 0

    async def hang(self, request: bytes, context: Any) -> bytes:
        self.begun += 1
        try:
            return await super().hang(request, context)
        finally:
            await self.may_stop.wait()


async def test_a_handler_counts_until_it_has_ended(folder: Path) -> None:
    echo = Stubborn()
    async with serving(echo, folder, Limits(max_concurrent_streams=2)) as server:
        wire = await Wire.connect(folder / "l")
        wire.send(requests(1, 2, HANG, NOTHING))
        await until(lambda: echo.begun == 2)
        wire.send(cancel(1) + cancel(3) + requests(5, 1, HANG, NOTHING))
        reset = [each for each in frames.parse(await pong(wire)) if each[0] == frames.RESET]
        assert reset == [(frames.RESET, 0, 5, b"\0\0\0\7")]  # REFUSED_STREAM
        (connection,) = server.connections
        assert echo.begun == connection.engine.lingering == 2
        assert connection.intake.held == 12  # what they were given is held with them
        echo.may_stop.set()
        await until(lambda: not connection.engine.lingering)
        assert connection.intake.held == 0
        wire.send(requests(7, 1, HANG, NOTHING))
        await until(lambda: echo.begun == 3)
        wire.close()


async def test_streams_above_the_limit_may_not_be_asked_for_for_ever(
    folder: Path, echo: Echo
) -> None:
    limits = Limits(max_concurrent_streams=1, floods=FloodLimits(refused=Rate(500, 1)))
    async with serving(echo, folder, limits):
        wire = await Wire.connect(folder / "l")
        attack = requests(1, 2000, HANG, NOTHING)
        assert await ended(wire, attack) == (frames.CALM, b"too many streams above the limit")
    assert len(echo.contexts) <= 1


async def test_a_refused_stream_takes_no_end_of_empty_data(wire: Wire) -> None:
    stream_id = wire.h2.get_next_available_stream_id()
    wire.send(frame(1, END_HEADERS, stream_id, block(b"/test.Echo/Nope")))
    unit, rate = frame(0, 0, stream_id), FLOODS.window_update
    error, text = await ended(wire, unit * (rate.burst + 100))
    assert (error, text) == (frames.CALM, b"too many WINDOW_UPDATE frames")


async def test_data_that_crosses_our_refusal_is_no_breach(wire: Wire) -> None:
    for _ in range(3000):
        stream_id = wire.h2.get_next_available_stream_id()
        wire.h2.highest_outbound_stream_id = stream_id
        wire.send(
            frame(1, END_HEADERS, stream_id, block(b"/test.Echo/Nope"))
            + frame(0, END_STREAM, stream_id, b"\0\0\0\0\1x")
        )
    received = await pong(wire)
    assert frames.goaway(received) == (-1, b"")
    # One reset a call: that it may stop sending. None for what came later.
    assert [each[0] for each in frames.parse(received)].count(frames.RESET) == 3000


# -- header blocks -------------------------------------------------------------------------

BOMB = frames.literal(b"x", bytes(3900).replace(b"\0", b"v"), index=True)
LONG = frames.literal(b"x", b"v" * 16_300)
BLOCKS = {
    "many empty parts": frame(1, 0, 5, block()) + frame(9, 0, 5) * 20,
    "long parts": frame(1, 0, 5, block()) + frame(9, 0, 5, bytes(16384)) * 3,
    "one field again and again": frame(1, END_HEADERS, 5, block() + BOMB + b"\xbe" * 100),
    "empty fields": frame(1, END_HEADERS, 5, block() + frames.literal(b"", b"") * 600),
    "a long field": frame(1, 0, 5, block()) + frame(9, END_HEADERS, 5, LONG),
}


@pytest.mark.parametrize("kind", BLOCKS)
async def test_header_blocks_have_an_end(wire: Wire, echo: Echo, kind: str) -> None:
    calls = len(echo.contexts)
    error, said = await ended(wire, BLOCKS[kind])
    assert error == frames.CALM
    assert said in (b"too many header fields", b"too many CONTINUATION frames", b"")
    assert len(echo.contexts) == calls


def test_a_long_block_is_not_decoded() -> None:
    from hpack import OversizedHeaderListError

    decoder = FastDecoder(1000)
    # Were it decoded, that it is no Huffman code would be found first.
    with pytest.raises(OversizedHeaderListError):
        decoder.decode(b"\0" + b"\xff\xff\xff\xff" * 300)


# -- the engine alone ----------------------------------------------------------------------


class Deaf:
    """Hears of everything and does nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_what: None


def engine(clock: FakeClock | None = None, **limits: Any) -> Engine:
    """An engine that has been greeted."""
    made = Engine(
        Deaf(), Limits(**limits), HeadCache(), (clock or FakeClock()).monotonic, client=False
    )
    made.initiate_connection()
    made.receive(PREFACE + frame(4, 0, 0) + frame(4, 1, 0))
    return made


RESPONSE = encode_block(((b":status", b"200"), (b"content-type", b"application/grpc")))
TRAILERS = encode_block(((b"grpc-status", b"0"),))


def call(made: Engine, stream_id: int, size: int = 100) -> None:
    """Let one call be made and answered."""
    made.receive(
        frame(1, END_HEADERS, stream_id, block()) + frame(0, END_STREAM, stream_id, b"\0\0\0\0\1x")
    )
    made.send_block(stream_id, RESPONSE, end=False)
    made.send_bytes(stream_id, bytes(size), 0)
    made.send_block(stream_id, TRAILERS, end=True)
    made.credit_connection(6)
    made.take()


def test_what_grpc_go_sends_for_each_answer_is_no_flood() -> None:
    made = engine()
    for stream_id in range(1, 40_001, 2):
        call(made, stream_id)
        late = stream_id.to_bytes(4, "big")
        made.receive(
            frame(6, 0, 0, bytes(8))
            + frame(8, 0, 0, b"\0\0\0\x64")
            + b"\0\0\4\x08\0"
            + late
            + b"\0\0\0\x64"
        )
    assert not made.closed


def test_a_long_answer_pays_for_the_windows_that_it_needs() -> None:
    made = engine()
    made.receive(frame(4, 0, 0, b"\0\4\x7f\xff\xff\xff") + frame(1, END_HEADERS, 1, block()))
    made.send_block(1, RESPONSE, end=False)
    message, at = bytes(64 << 20), 0
    while at < len(message):
        before, at = at, made.send_bytes(1, message, at)
        made.take()
        for _ in range(before, at, 16384):
            made.receive(frame(8, 0, 0, b"\0\0\x40\0") + frame(8, 0, 1, b"\0\0\0\1"))
            made.receive(frame(6, 0, 0, bytes(8)))
    assert not made.closed


def test_windows_opened_byte_by_byte_pay_for_nothing() -> None:
    made = engine()
    made.receive(frame(4, 0, 0, b"\0\4\0\0\0\0") + frame(1, END_HEADERS, 1, block()))
    made.send_block(1, RESPONSE, end=False)
    message, at = bytes(100_000), 0
    for _ in range(FLOODS.window_update.burst):
        made.receive(frame(8, 0, 1, b"\0\0\0\1"))
        at = made.send_bytes(1, message, at)
    assert at == FLOODS.window_update.burst
    with pytest.raises(FloodError, match="WINDOW_UPDATE"):
        made.receive(frame(8, 0, 1, b"\0\0\0\1"))


def test_settings_weigh_as_many_streams_as_they_touch() -> None:
    made = engine(max_concurrent_streams=10_000)
    for stream_id in range(1, 2 * 9000, 2):
        made.receive(frame(1, END_HEADERS, stream_id, block()))
    made.receive(frame(4, 0, 0, SETTING) * 8)
    with pytest.raises(FloodError, match="SETTINGS"):
        made.receive(frame(4, 0, 0, SETTING) * 12)


def test_settings_that_are_unknown_or_many_leave_nothing_behind() -> None:
    made = engine()
    known = len(dict(made.remote_settings))
    made.receive(frame(4, 0, 0, b"".join(b"%c%c\0\0\0\1" % (9, n) for n in range(32))))
    assert len(dict(made.remote_settings)) == known
    for size in range(50):
        made.receive(frame(4, 0, 0, b"\0\1\0\0" + (100 + size * 7).to_bytes(2, "big")))
    assert len(made.encoder.table_size_changes) <= 2
    with pytest.raises(FloodError, match="settings in one frame"):
        made.receive(frame(4, 0, 0, b"\0\4\0\0\0\1" * 33))


def test_the_dynamic_tables_are_bounded_both_ways() -> None:
    made = engine()
    made.receive(frame(4, 0, 0, b"\0\1\xff\xff\xff\xff"))
    for number in range(1, 2000, 2):
        field = frames.literal(b"x-%d" % number, b"v" * 100, index=True)
        made.receive(frame(1, END_HEADERS | END_STREAM, number, block() + field))
        made.send_block(number, RESPONSE + TRAILERS, end=True)
    assert made.decoder.header_table._current_size <= 4096
    assert len(made.decoder.header_table.dynamic_entries) < 40
    assert not made.encoder.header_table.dynamic_entries


def sizes(made: Engine) -> dict[str, int]:
    """Return the lengths of everything in an engine that can have one."""
    return {
        name: len(value)
        for name, value in {**vars(made), **vars(made.decoder), **vars(made.encoder)}.items()
        if isinstance(value, (list, dict, bytes, bytearray))
    }


def test_after_many_calls_nothing_has_grown() -> None:
    made, dice = engine(), random.Random(1)
    for stream_id in range(1, 8001, 2):
        call(made, stream_id)
        if dice.random() < 0.3:
            made.receive(b"\0\0\4\x08\0" + stream_id.to_bytes(4, "big") + b"\0\0\0\1")
    before = sizes(made)
    for stream_id in range(8001, 60_001, 2):
        call(made, stream_id)
        if dice.random() < 0.3:
            made.receive(b"\0\0\4\x08\0" + stream_id.to_bytes(4, "big") + b"\0\0\0\1")
    assert sizes(made) == before
