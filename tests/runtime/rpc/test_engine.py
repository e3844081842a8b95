"""The engine against h2 itself: the short way and h2's way must not differ."""

import random
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

from finial.runtime.rpc import Limits
from finial.runtime.rpc.engine import Engine
from finial.runtime.rpc.request import HeadCache
from finial.runtime.rpc.sender import _RECEIVERS
from tests.fakes.clock import FakeClock
from tests.runtime.rpc.wire import request


class Ear:
    """Writes down what an engine tells."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *what: self.heard.append((name, *what))

    def plainly(self) -> list[Any]:
        return [
            tuple(getattr(part, "headers", part) for part in what)
            for what in self.heard
            if what[0] != "on_ping_answered"
        ]


class SlowEngine(Engine):
    """Takes every frame by h2."""

    def _fast(self, *_frame: Any) -> bool:
        return False


def pair(engine: type[Engine], **limits: Any) -> tuple[Engine, Ear, H2Connection]:
    ear = Ear()
    server = engine(ear, Limits(**limits), HeadCache(), FakeClock().monotonic, client=False)
    client = H2Connection(H2Configuration(header_encoding=None))
    server.initiate_connection()
    client.initiate_connection()
    client.receive_data(bytes(server.take() or b""))
    return server, ear, client


def state(engine: Engine) -> Any:
    """Everything about an engine that frames may change."""
    return (
        engine.state_machine.state,
        engine.highest_inbound_stream_id,
        engine.outbound_flow_control_window,
        engine._inbound_flow_control_window_manager.current_window_size,
        dict(engine.remote_settings),
        {
            stream_id: (
                stream.state_machine.state,
                stream.state_machine.headers_received,
                stream.state_machine.client,
                stream.outbound_flow_control_window,
                stream._inbound_window_manager.current_window_size,
                stream.max_outbound_frame_size,
            )
            for stream_id, stream in engine.streams.items()
        },
        list(engine.decoder.header_table.dynamic_entries),
    )


def talk(client: H2Connection, dice: random.Random) -> None:
    """Let a lawful client do one thing."""
    alive = [s for s in client.streams.values() if s.state_machine.state == 3]
    if not alive or dice.random() < 0.25:
        dice.choice([open_stream, open_stream, ping, open_window])(client, dice)
    else:
        act = dice.choice([send, send, send, end, reset, open_window])
        act(client, dice, dice.choice(alive).stream_id)


def open_stream(client: H2Connection, dice: random.Random) -> None:
    fields = request(path=dice.choice([b"/a/b", b"/c/d"]))
    if dice.random() < 0.3:
        fields.append((b"grpc-timeout", b"%dm" % dice.randrange(10**6)))
    if dice.random() < 0.2:
        fields.append((b"x-%d" % dice.randrange(10), b"v"))
    stream_id = client.get_next_available_stream_id()
    client.send_headers(stream_id, fields, end_stream=dice.random() < 0.2)


def ping(client: H2Connection, dice: random.Random) -> None:
    client.ping(b"%08d" % dice.randrange(10**6))


def open_window(client: H2Connection, dice: random.Random, stream_id: int | None = None) -> None:
    client.increment_flow_control_window(dice.randrange(1, 1000), stream_id)


def send(client: H2Connection, dice: random.Random, stream_id: int) -> None:
    room = min(client.local_flow_control_window(stream_id), 500)
    if room > 10:
        data = bytes(dice.randrange(room - 5))
        client.send_data(stream_id, data, dice.random() < 0.3, dice.choice([None, None, 3]))


def end(client: H2Connection, dice: random.Random, stream_id: int) -> None:  # noqa: ARG001
    client.end_stream(stream_id)


def reset(client: H2Connection, dice: random.Random, stream_id: int) -> None:
    client.reset_stream(stream_id, dice.choice([0, 7, 8]))


@pytest.mark.parametrize("seed", range(30))
def test_both_ways_end_in_the_same_state_and_tell_the_same(seed: int) -> None:
    dice = random.Random(seed)
    quick, quick_ear, client = pair(Engine)
    slow, slow_ear, _ = pair(SlowEngine)
    for _ in range(200):
        talk(client, dice)
        sent = client.data_to_send()
        cut = dice.randrange(len(sent) + 1)
        for part in (sent[:cut], sent[cut:]):
            quick.receive(part)
            slow.receive(part)
        assert state(quick) == state(slow)
        assert bytes(quick.take() or b"") == bytes(slow.take() or b"")
    assert quick_ear.plainly() == slow_ear.plainly()
    assert len(quick_ear.heard) > 50


@pytest.mark.parametrize("seed", range(60))
def test_damaged_frames_are_refused_the_same_way(seed: int) -> None:
    dice = random.Random(seed)
    quick, quick_ear, client = pair(Engine)
    slow, slow_ear, _ = pair(SlowEngine)
    for _ in range(100):
        talk(client, dice)
        sent = bytearray(client.data_to_send())
        if sent and dice.random() < 0.1:
            sent[dice.randrange(min(len(sent), 12))] ^= 1 << dice.randrange(8)
        failed = []
        for engine in (quick, slow):
            try:
                engine.receive(bytes(sent))
            except ProtocolError as error:
                failed.append(error.error_code)
        if failed:
            # Resetting a stream that never was is refused by us and let pass by h2.
            idle_reset = len(failed) == 1 and slow.state_machine.state.value == 2
            assert idle_reset or (len(failed) == 2 and failed[0] == failed[1])
            assert quick.closed
            return
        assert state(quick) == state(slow)
    assert quick_ear.plainly() == slow_ear.plainly()


def test_an_engine_has_all_that_h2_gives_a_connection() -> None:
    engine, _, _ = pair(Engine)
    theirs = H2Connection(H2Configuration(client_side=False))
    assert set(vars(theirs)) - set(vars(engine)) == {"_frame_dispatch_table"}
    for name, value in vars(theirs).items():
        if isinstance(value, (int, bytearray, list)) and name != "_data_to_send":
            assert getattr(engine, name) == value, name
    expected = {frame: method.__name__ for frame, method in theirs._frame_dispatch_table.items()}
    assert expected == _RECEIVERS


def test_answers_are_read_by_h2() -> None:
    from finial.runtime.rpc.hpack import encode_block

    engine, _, client = pair(Engine)
    client.send_headers(1, request(), end_stream=True)
    engine.receive(client.data_to_send())
    engine.send_block(1, encode_block(((b":status", b"200"), (b"x", b"y" * 40_000))), end=False)
    assert engine.send_bytes(1, bytes(40_000), 0) == 40_000
    engine.send_block(1, encode_block(((b"grpc-status", b"0"),)), end=True)
    events = client.receive_data(bytes(engine.take() or b""))
    names = [type(event).__name__ for event in events]
    assert names.count("ResponseReceived") == 1
    assert sum(len(event.data) for event in events if hasattr(event, "data")) == 40_000
    assert names[-2:] == ["TrailersReceived", "StreamEnded"]
    assert not engine.streams


def test_no_more_is_sent_than_the_peer_allows() -> None:
    engine, _, client = pair(Engine)
    client.update_settings({4: 100})
    client.send_headers(1, request(), end_stream=True)
    engine.receive(client.data_to_send())
    assert engine.send_bytes(1, bytes(1000), 0) == 100
    assert engine.send_bytes(1, bytes(1000), 100) == 100
    client.increment_flow_control_window(50, 1)
    engine.receive(client.data_to_send())
    assert engine.send_bytes(1, bytes(1000), 100, end=True) == 150
    client.update_settings({4: 0})
    engine.receive(client.data_to_send())
    assert engine.send_bytes(1, bytes(1000), 150) == 150


def test_a_goaway_of_the_client_does_not_cut_its_calls() -> None:
    engine, ear, client = pair(Engine)
    client.send_headers(1, request(), end_stream=True)
    client.close_connection(last_stream_id=0)
    engine.receive(client.data_to_send())
    assert [what[0] for what in ear.heard][-1] == "on_goaway"
    assert not engine.closed
    assert 1 in engine.streams


def test_heads_are_kept_in_bounds_and_none_with_metadata() -> None:
    heads = HeadCache()
    engine = Engine(Ear(), Limits(), heads, FakeClock().monotonic, client=False)
    client = H2Connection(H2Configuration(header_encoding=None))
    client.initiate_connection()
    client.send_headers(1, [*request(), (b"authorization", b"Bearer secret")])
    client.send_headers(3, request())
    engine.receive(client.data_to_send())
    assert len(heads._heads) == 1
    for number in range(1000):
        client.send_headers(5 + 2 * number, request(path=b"/%d" % number), end_stream=True)
        client.reset_stream(5 + 2 * number)
    engine.receive(client.data_to_send())
    assert 1 <= len(heads._heads) <= 256


def test_streams_refused_for_their_number_leave_no_trace_behind() -> None:
    engine, _, client = pair(Engine, max_concurrent_streams=1)
    client.remote_settings[3] = 10_000
    client.remote_settings.acknowledge()
    for number in range(3000):
        client.send_headers(1 + 2 * number, request())
        engine.receive(client.data_to_send())
    assert len(engine.streams) == 1
    assert len(engine._closed_streams) <= 1024


def test_answers_that_cross_our_resets_are_no_error() -> None:
    ear = Ear()
    client = Engine(ear, Limits(), HeadCache(), FakeClock().monotonic, client=True)
    server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    client.initiate_connection()
    server.initiate_connection()
    opened = [1 + 2 * number for number in range(100)]
    client.receive(server.data_to_send())
    for stream_id in opened:
        client.open_request(stream_id, tuple(request()))
    server.receive_data(bytes(client.take() or b""))
    for stream_id in opened:
        server.send_headers(
            stream_id, [(b":status", b"200"), (b"grpc-status", b"0")], end_stream=True
        )
        client.reset(stream_id, 8)
    client.receive(server.data_to_send())
    assert not client.closed
    assert not [what for what in ear.heard if what[0] == "on_response"]
