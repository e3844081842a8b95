import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finial.server.signer.framing import MAX_FRAME, FrameError, FrameReader, frame


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 50))
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    payloads: list[bytes], size: int
) -> None:
    stream = b"".join(frame(payload) for payload in payloads)
    reader = FrameReader()
    found: list[bytes] = []
    for at in range(0, len(stream), size):
        found += reader.feed(stream[at : at + size])
    assert found == payloads


def test_a_length_that_no_frame_has_is_an_error() -> None:
    with pytest.raises(FrameError):
        list(FrameReader().feed((MAX_FRAME + 1).to_bytes(4, "big")))
