"""Frames on a socket pair: a 4-byte big-endian length, then that many bytes. No I/O here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FRAME = 64 * 1024 * 1024
"""Bytes. Both ends are ours; more than this is a fault, not a message."""

READ_SIZE = 256 * 1024
"""Bytes to ask a socket for at once; a socket pair of Linux rarely holds more."""

_HEADER = 4


class FrameError(Exception):
    """The other end sent a length that no frame has."""


def frame(payload: bytes) -> bytes:
    """One frame."""
    return len(payload).to_bytes(_HEADER, "big") + payload


class FrameReader:
    """Cuts a byte stream into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add what was read; yields every frame that is complete by it.

        Raises:
            FrameError: a frame is announced as longer than `MAX_FRAME`.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _HEADER:
            length = int.from_bytes(buffer[at : at + _HEADER], "big")
            if length > MAX_FRAME:
                raise FrameError(f"a frame of {length} bytes was announced")
            end = at + _HEADER + length
            if len(buffer) < end:
                break
            yield bytes(buffer[at + _HEADER : end])
            at = end
        del buffer[:at]
