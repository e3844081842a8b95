import grpc
import pytest

from finial.runtime.rpc import StatusError
from finial.runtime.rpc.framing import MessageReader, frame, whole


@pytest.mark.parametrize("step", [1, 3, 5, 7, 1000])
def test_messages_come_out_however_they_are_cut(step: int) -> None:
    messages = [b"", b"a", bytes(300), b"end"]
    wire = b"".join(frame(message) for message in messages)
    reader = MessageReader(1000)
    out = [
        message for at in range(0, len(wire), step) for message in reader.feed(wire[at : at + step])
    ]
    assert out == messages
    assert not reader.held


def test_an_unfinished_message_is_noticed() -> None:
    reader = MessageReader(10)
    assert list(reader.feed(frame(b"abc")[:-1])) == []
    assert reader.held


def test_a_long_message_is_refused_by_its_length_alone() -> None:
    with pytest.raises(StatusError, match=r"larger than max \(11 vs. 10\)") as caught:
        list(MessageReader(10).feed(b"\0\0\0\0\x0b"))
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_compressed_message_is_refused() -> None:
    with pytest.raises(StatusError, match="compressed"):
        list(MessageReader(10).feed(b"\1\0\0\0\0"))


def test_one_whole_message_is_taken_as_it_is() -> None:
    assert whole(frame(b"abc"), 3) == b"abc"
    assert whole(frame(b""), 3) == b""
    assert whole(frame(b"abcd"), 3) is None
    assert whole(frame(b"abc")[:-1], 3) is None
    assert whole(frame(b"abc") + b"x", 3) is None
    assert whole(b"\1" + frame(b"abc")[1:], 3) is None
    assert whole(b"\0\0", 3) is None
