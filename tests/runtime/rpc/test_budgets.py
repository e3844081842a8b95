"""What one connection can make us hold, of its own bytes and of ours."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from h2.events import StreamEnded, TrailersReceived

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import Channel, Limits, OpenGate, RpcError, Server
from tests.fakes.clock import FakeClock, settle
from tests.fakes.rpc_process import rpc_process
from tests.runtime.rpc import frames
from tests.runtime.rpc.echo import Echo, Stub
from tests.runtime.rpc.frames import END_HEADERS, END_STREAM, block, frame
from tests.runtime.rpc.wire import REQUEST, Wire, until

MIB = 1024 * 1024
UNREAD = b"/test.Echo/Unread"
CHAT = b"/test.Echo/Chat"
WATCH = b"/test.Echo/Watch"
EXHAUSTED = b"grpc-status\x018"
LARGEST = b"\0\0\x40\0\0"  # the prefix of a message of 4 MiB


class Held(Echo):
    """Its `Later` waits until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = asyncio.Event()

    async def later(self, request: bytes, context: Any) -> bytes:
        self.contexts.append(context)
        await self.may_go_on.wait()
        return request


@asynccontextmanager
async def serving(echo: Echo, folder: Path, **limits: Any) -> AsyncIterator[Server]:
    server = Server(clock=FakeClock(), gate=OpenGate(), limits=Limits(**limits))
    echo.register(server)
    await server.listen_unix(folder / "b", mode=0o600)
    yield server
    await server.drain(0)


class Attack:
    """A client that sends as much as it may on many streams, and ends none of its messages."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.whole = 65_535
        self.own: dict[int, int] = {}
        self.dead: set[int] = set()
        self.exhausted = 0
        self.window = 65_535
        self._rest = b""

    def open(self, stream_id: int, path: bytes) -> None:
        self.own[stream_id] = self.window
        self.wire.send(frame(1, END_HEADERS, stream_id, block(path)))

    def send(self, stream_id: int, data: bytes) -> None:
        self.wire.send(frame(0, 0, stream_id, data))
        self.whole -= len(data)
        self.own[stream_id] -= len(data)

    async def hear(self) -> None:
        """Read up to the answer to a PING."""
        self.wire.send(frame(6, 0, 0, b"are here"))
        while True:
            for kind, flags, stream_id, payload in self._parsed():
                if kind == frames.WINDOW:
                    self._opened(stream_id, int.from_bytes(payload, "big"))
                elif kind == frames.SETTINGS and not flags:
                    self._settled(payload)
                elif kind == frames.RESET:
                    self.dead.add(stream_id)
                elif kind == frames.HEADERS and EXHAUSTED in payload:
                    self.exhausted += 1
                elif kind == frames.PING and payload == b"are here":
                    return
            data = await self.wire.reader.read(1 << 20)
            assert data, "the connection was ended"
            self._rest += data

    def _parsed(self) -> list[tuple[int, int, int, bytes]]:
        found = frames.parse(self._rest)
        whole = [each for each in found if sum(map(len, (each[3],))) >= 0]
        size = sum(9 + len(each[3]) for each in whole)
        self._rest = self._rest[size:]
        return whole

    def _opened(self, stream_id: int, increment: int) -> None:
        if stream_id:
            self.own[stream_id] = self.own.get(stream_id, 0) + increment
        else:
            self.whole += increment

    def _settled(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            if payload[at + 1] == 4:
                new = int.from_bytes(payload[at + 2 : at + 6], "big")
                for stream_id in self.own:
                    self.own[stream_id] += new - self.window
                self.window = new

    async def fill(self, streams: list[int], first: bytes, most: int) -> int:
        """Send `first` and then zeros until no window is open; returns how many bytes went."""
        sent = dict.fromkeys(streams, 0)
        while True:
            await self.hear()
            before = sum(sent.values())
            for stream_id in streams:
                room = min(self.whole, self.own[stream_id], 16384, most - sent[stream_id])
                if stream_id in self.dead or room < len(first):
                    continue
                data = bytes(room) if sent[stream_id] else first + bytes(room - len(first))
                self.send(stream_id, data)
                sent[stream_id] += room
            await self.wire.writer.drain()
            if sum(sent.values()) == before:
                return before


async def attack(path: Path) -> Attack:
    attacker = Attack(await Wire.connect(path))
    await attacker.hear()
    return attacker


# -- what comes in -------------------------------------------------------------------------


BOUND = 17 * MIB + 64 * 1024  # connection_memory, one window, what is on its way


async def test_unfinished_messages_of_one_connection_are_bounded(folder: Path, echo: Echo) -> None:
    async with serving(echo, folder) as server:
        attacker = await attack(folder / "b")
        streams = list(range(1, 400, 2))
        for stream_id in streams:
            attacker.open(stream_id, b"/test.Echo/Plain")
        sent = await attacker.fill(streams, LARGEST, 4 * MIB)
        (connection,) = server.connections
        assert sent > 30 * MIB  # it tried
        assert connection.intake.held <= BOUND
        assert attacker.exhausted > 100
        # Nobody is locked out: the window is open, and what has begun can be finished.
        assert attacker.whole > 0
        attacker.open(1001, b"/test.Echo/Plain")
        attacker.send(1001, b"\0\0\0\0\1x")
        attacker.wire.send(frame(0, END_STREAM, 1001))
        await until(lambda: len(echo.contexts) == 1)
        attacker.wire.close()
        await until(lambda: not server.connections)
        assert connection.intake.held == 0
        assert connection.awaited == 0


async def test_the_memory_of_the_process_is_bounded_under_such_an_attack(folder: Path) -> None:
    with rpc_process(folder, loop="asyncio") as process:
        warm = await attack(process.path)
        warm.open(1, b"/test.Echo/Plain")
        await warm.fill([1], LARGEST, MIB)
        before = peak(process.pid)
        attacker = await attack(process.path)
        streams = list(range(1, 2040, 2))
        for stream_id in streams:
            # 12 KiB of metadata with each, besides.
            fields = block(b"/test.Echo/Plain", (b"x", b"v" * 12_000))
            attacker.wire.send(frame(1, END_HEADERS, stream_id, fields))
            attacker.own[stream_id] = attacker.window
            await attacker.wire.writer.drain()
        assert await attacker.fill(streams, LARGEST, 4 * MIB) > 16 * MIB
        assert peak(process.pid) - before < 48 * MIB
        attacker.wire.close()
        warm.wire.close()


def peak(pid: int) -> int:
    """Return the most memory that a process had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


async def test_header_fields_count(folder: Path, echo: Echo) -> None:
    async with serving(echo, folder, connection_memory=MIB, max_receive_message=1000) as server:
        attacker = await attack(folder / "b")
        for stream_id in range(1, 401, 2):
            fields = block(b"/test.Echo/Hang", (b"x", b"v" * 12_000))
            attacker.wire.send(frame(1, END_HEADERS, stream_id, fields))
        await attacker.hear()
        (connection,) = server.connections
        assert connection.intake.held < MIB + 16 * 1024
        assert 80 < len(connection.streams) < 90
        assert len(attacker.dead) == 200 - len(connection.streams)
        attacker.wire.close()


@pytest.mark.parametrize("count", [1, 8])
async def test_large_messages_come_through_side_by_side(
    folder: Path, echo: Echo, count: int
) -> None:
    limits = Limits(max_receive_message=16 * MIB)
    server = Server(clock=SystemClock(), gate=OpenGate(), limits=limits)
    echo.register(server)
    await server.listen_unix(folder / "b", mode=0o600)
    async with Channel(f"unix:{folder / 'b'}", clock=SystemClock(), limits=limits) as channel:
        messages = [bytes((number,)) * (16 * MIB) for number in range(count)]
        answers = await asyncio.gather(*(Stub(channel).Plain(message) for message in messages))
        assert answers == messages
        (connection,) = server.connections
        assert connection.intake.held == 0
        assert await Stub(channel).Plain(b"and on") == b"and on"
    await server.drain(0)


async def test_thirty_long_messages_side_by_side_wait_for_one_another(
    folder: Path, echo: Echo
) -> None:
    server = Server(clock=SystemClock(), gate=OpenGate())
    echo.register(server)
    await server.listen_unix(folder / "b", mode=0o600)
    async with Channel(f"unix:{folder / 'b'}", clock=SystemClock()) as channel:
        total = Stub(channel).Total
        calls = [total(iter((bytes(3 * MIB), b"", bytes(MIB)))) for _ in range(30)]
        assert await asyncio.gather(*calls) == [b"%d" % (4 * MIB)] * 30
    await server.drain(0)


async def test_a_call_that_ends_within_a_message_gives_back_its_loan(
    folder: Path, echo: Echo
) -> None:
    async with serving(echo, folder) as server:
        attacker = await attack(folder / "b")
        for stream_id in (1, 3, 5):
            attacker.open(stream_id, UNREAD)
            attacker.send(stream_id, LARGEST + bytes(1000))
            attacker.wire.send(frame(frames.RESET, 0, stream_id, bytes(4)))
        attacker.open(7, UNREAD)
        attacker.send(7, LARGEST + bytes(1000))
        await attacker.hear()
        assert attacker.own[7] > 3 * MIB
        attacker.wire.send(frame(frames.RESET, 0, 7, bytes(4)))
        await attacker.hear()
        (connection,) = server.connections
        await until(lambda: connection.intake.held == 0)
        assert connection.awaited == 0
        attacker.wire.close()


async def test_no_more_calls_are_ended_than_must_be(folder: Path, echo: Echo) -> None:
    async with serving(echo, folder) as server:
        attacker = await attack(folder / "b")
        streams = list(range(1, 101, 2))
        for stream_id in streams:
            attacker.open(stream_id, UNREAD)
        await attacker.fill(streams, LARGEST, 4 * MIB)
        (connection,) = server.connections
        assert attacker.exhausted
        assert connection.intake.held > 15 * MIB
        attacker.wire.close()


async def test_a_long_message_may_be_padded(folder: Path, echo: Echo) -> None:
    async with serving(echo, folder):
        attacker = await attack(folder / "b")
        attacker.open(1, b"/test.Echo/Plain")
        rest = b"\0\0\x10\0\0" + bytes(MIB)
        for _ in range(100):
            await attacker.hear()
            while rest and (room := min(attacker.whole, attacker.own[1], 8000)):
                padding = 255 if room > 256 else 0
                size = room - padding - 1 if padding else room
                part, rest = rest[:size], rest[size:]
                body = bytes((padding,)) + part + bytes(padding) if padding else part
                attacker.wire.send(frame(0, frames.PADDED if padding else 0, 1, body))
                attacker.whole -= len(body)
                attacker.own[1] -= len(body)
        assert not rest
        attacker.wire.send(frame(0, END_STREAM, 1))
        await until(lambda: echo.contexts)
        attacker.wire.close()


async def test_short_messages_do_not_overtake_a_long_one_for_ever(folder: Path, echo: Echo) -> None:
    async with serving(echo, folder, max_receive_message=16 * MIB):
        attacker = await attack(folder / "b")
        short = b"\0\0\0\x40\0" + bytes(10)
        for stream_id, begun in ((1, short), (3, b"\0\1\0\0\0"), (5, short)):
            attacker.open(stream_id, b"/test.Echo/Plain")
            attacker.send(stream_id, begun)
        await attacker.hear()
        assert attacker.own[3] < MIB
        attacker.send(1, bytes(0x4000 - 10))
        await attacker.hear()
        assert attacker.own[3] > 15 * MIB
        attacker.wire.close()


async def test_a_backlog_that_stays_the_same_counts_the_same(folder: Path, echo: Echo) -> None:
    async with serving(echo, folder) as server:
        attacker = await attack(folder / "b")
        attacker.open(1, UNREAD)
        attacker.send(1, b"\0\0\0\0\1x" * 64)
        await until(lambda: server.connections and echo.contexts)
        (context,) = echo.contexts
        (connection,) = server.connections
        await attacker.hear()
        before = connection.intake.held
        for _ in range(2000):
            await context.read()
            held = connection.intake.held
            attacker.send(1, b"\0\0\0\0\1x")
            await until(lambda held=held: connection.intake.held != held)  # type: ignore[misc]
        assert connection.intake.held - before < 2000 * 100
        attacker.wire.close()


async def test_unread_messages_withhold_the_connections_window(folder: Path) -> None:
    echo = Held()
    async with serving(echo, folder, connection_memory=MIB, max_receive_message=100_000) as server:
        attacker = await attack(folder / "b")
        streams = list(range(1, 81, 2))
        message = b"\0\0\1\x86\x9b" + bytes(99_995)
        for stream_id in streams:
            attacker.open(stream_id, b"/test.Echo/Later")
        for stream_id in streams:
            for at in range(0, len(message), 16384):
                if attacker.whole < 16384:
                    await attacker.hear()
                if attacker.whole >= 16384:
                    attacker.send(stream_id, message[at : at + 16384])
            attacker.wire.send(frame(0, END_STREAM, stream_id))
        await attacker.hear()
        (connection,) = server.connections
        assert connection.intake.held <= 2 * MIB + 16384
        assert connection.intake.withheld > 0
        assert attacker.whole < 16384
        echo.may_go_on.set()
        await attacker.hear()
        await until(lambda: connection.intake.held < MIB)
        await attacker.hear()
        assert attacker.whole > MIB // 4
        assert connection.intake.withheld == 0
        attacker.wire.close()


async def test_short_messages_count_for_what_they_take(folder: Path, echo: Echo) -> None:
    async with serving(echo, folder) as server:
        attacker = await attack(folder / "b")
        attacker.open(1, UNREAD)
        for _ in range(12):
            attacker.send(1, b"\0\0\0\0\2xx" * 2340)
        await attacker.hear()
        (connection,) = server.connections
        assert connection.intake.held > 12 * 2340 * 64
        attacker.wire.close()


async def test_a_message_above_the_limit_is_refused_at_its_prefix(folder: Path, echo: Echo) -> None:
    async with serving(echo, folder) as server:
        attacker = await attack(folder / "b")
        attacker.open(1, b"/test.Echo/Plain")
        attacker.send(1, b"\0\0\x40\0\1")
        await attacker.hear()
        assert attacker.exhausted == 1
        assert attacker.dead == {1}
        (connection,) = server.connections
        assert connection.intake.held == 0
        attacker.wire.close()


# -- what goes out -------------------------------------------------------------------------


class Generous(Echo):
    """Its `Plain` gives much for little."""

    def plain(self, request: bytes, context: Any) -> bytes:
        self.contexts.append(context)
        return request * 60_000


async def test_answers_that_nobody_takes_are_bounded(folder: Path) -> None:
    echo = Generous()
    async with serving(echo, folder, max_unsent=MIB, max_receive_message=100_000) as server:
        wire = await Wire.connect(folder / "b")
        wire.h2.update_settings({4: 0})
        wire.flush()
        opened = [wire.call(b"x") for _ in range(30)]
        await until(lambda: len(echo.contexts) == 30)
        (connection,) = server.connections
        assert MIB - 60_000 < connection.unsent <= MIB
        over = [stream_id for stream_id in opened if stream_id not in connection.streams]
        assert len(over) == 30 - 17
        for stream_id in over:
            event = await wire.until(TrailersReceived, stream_id=stream_id)
            assert dict(event.headers)[b"grpc-status"] == b"8"  # RESOURCE_EXHAUSTED
        # Those that wait are served when the client takes them.
        wire.h2.update_settings({4: MIB})
        wire.h2.increment_flow_control_window(2 * MIB)
        wire.flush()
        for stream_id in set(opened) - set(over):
            await wire.until(StreamEnded, stream_id=stream_id)
        assert connection.unsent == 0
        wire.close()


async def test_the_newest_message_of_a_watcher_counts_too(folder: Path, echo: Echo) -> None:
    async with serving(echo, folder, max_unsent=MIB, max_receive_message=100_000) as server:
        wire = await Wire.connect(folder / "b")
        wire.h2.update_settings({4: 0})
        wire.call(b"x", path=WATCH)
        await until(lambda: len(echo.contexts) == 1)
        (connection,) = server.connections
        for _ in range(10):
            echo.push.send(bytes(500_000))
        assert connection.unsent < 600_000
        echo.push.send(bytes(MIB))
        assert echo.push.done
        assert connection.unsent == 0
        wire.close()


async def test_many_answers_to_one_packet_do_not_pile_up(folder: Path) -> None:
    echo = Generous()
    async with serving(echo, folder, max_unsent=MIB, max_receive_message=100_000) as server:
        wire = await Wire.connect(folder / "b")
        wire.h2.update_settings({4: 2**31 - 1})
        wire.h2.increment_flow_control_window(2**30)
        wire.flush()
        fields, body = block(), b"\0\0\0\0\1x"
        tracemalloc.start()
        wire.send(
            b"".join(
                frame(1, END_HEADERS, stream_id, fields) + frame(0, END_STREAM, stream_id, body)
                for stream_id in range(1, 1401, 2)
            )
        )
        await until(lambda: len(echo.contexts) == 700 or not server.connections)
        await settle()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 12 * MIB  # of 40 MiB that they are
        wire.close()


@pytest.mark.parametrize(
    "field", [(b":path", b"/" + b"\xff" * 12_000), (b"grpc-encoding", b"g" * 12_000)]
)
async def test_a_refusal_does_not_give_back_all_that_it_refuses(
    folder: Path, echo: Echo, field: tuple[bytes, bytes]
) -> None:
    async with serving(echo, folder):
        wire = await Wire.connect(folder / "b")
        changed = {**dict(REQUEST), field[0]: field[1]}
        fields = b"".join(frames.literal(*each) for each in changed.items())
        wire.send(frame(1, END_HEADERS | END_STREAM, 1, fields) + frame(6, 0, 0, b"pingpong"))
        out = b""
        while b"pingpong" not in out:
            out += await wire.reader.read(65536)
        assert b"grpc-status\x0212" in out  # UNIMPLEMENTED
        assert len(out) < 2500
        wire.close()


# -- the client ----------------------------------------------------------------------------


async def test_a_server_cannot_make_a_client_hold_more(folder: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = b""
        while asked.count(b"/test.Echo/Plain") < 60:
            asked += await reader.read(65536)
        head = b"\x88" + frames.literal(b"content-type", b"application/grpc")
        writer.write(frame(4, 0, 0) + frame(4, 1, 0))
        for stream_id in range(1, 121, 2):
            # The first 16 KB of 100.
            data = b"\0\0\x01\x86\xa0" + bytes(16_000)
            writer.write(frame(1, END_HEADERS, stream_id, head) + frame(0, 0, stream_id, data))
        while await reader.read(65536):
            pass
        writer.close()

    listener = await asyncio.start_unix_server(answer, folder / "m")
    limits = Limits(connection_memory=MIB // 2, max_receive_message=100_000)
    async with Channel(f"unix:{folder / 'm'}", clock=SystemClock(), limits=limits) as channel:
        calls = [Stub(channel).Plain(b"x") for _ in range(60)]
        await until(lambda: sum(call.done() for call in calls) >= 25)
        connection = channel._connection
        assert connection is not None
        assert connection.intake.held <= MIB // 2 + 16_384
        ended = [call for call in calls if call.done()]
        assert {await call.code() for call in ended} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        for call in calls:
            call.cancel()
        assert connection.intake.held == 0
    listener.close()


async def test_a_server_that_floods_loses_its_client(folder: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(frame(4, 0, 0) + frame(6, 0, 0, bytes(8)) * 2000)
        while await reader.read(65536):
            pass
        writer.close()

    listener = await asyncio.start_unix_server(answer, folder / "m")
    async with Channel(f"unix:{folder / 'm'}", clock=SystemClock()) as channel:
        with pytest.raises(RpcError, match="too many PING frames") as caught:
            await Stub(channel).Plain(b"x")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    listener.close()
