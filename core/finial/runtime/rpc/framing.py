"""Length-prefixed messages: one flag byte, four bytes of length, the message."""

from collections.abc import Iterator

import grpc

from finial.runtime.rpc.status import StatusError

PREFIX = 5


def frame(message: bytes) -> bytes:
    """Return `message` with its prefix, uncompressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def whole(data: bytes, limit: int) -> bytes | None:
    """Return the message when `data` is exactly one uncompressed message within `limit`."""
    size = len(data) - PREFIX
    if size < 0 or size > limit or data[0] or int.from_bytes(data[1:PREFIX], "big") != size:
        return None
    return data[PREFIX:]


class MessageReader:
    """Cuts the bytes of one direction of a stream into messages."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._limit = limit

    @property
    def held(self) -> int:
        """Bytes of an unfinished message."""
        return len(self._buffer)

    @property
    def size(self) -> int:
        """How many bytes the unfinished message will be with its prefix; 0 until that is known."""
        if len(self._buffer) < PREFIX:
            return 0
        return PREFIX + int.from_bytes(self._buffer[1:PREFIX], "big")

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take `data` and yield each message that it completes.

        Raises:
            StatusError: the message is too long (as soon as its length is known) or compressed.
        """
        buffer = self._buffer
        buffer += data
        while len(buffer) >= PREFIX:
            size = int.from_bytes(buffer[1:PREFIX], "big")
            self._check(buffer[0], size)
            end = PREFIX + size
            if len(buffer) < end:
                return
            with memoryview(buffer) as view:
                message = bytes(view[PREFIX:end])
            del buffer[:end]
            yield message

    def _check(self, flag: int, size: int) -> None:
        if size > self._limit:
            raise StatusError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"received message larger than max ({size} vs. {self._limit})",
            )
        if flag:
            raise StatusError(
                grpc.StatusCode.INTERNAL,
                "compressed flag set on a message of a call without compression",
            )
