"""A peer that speaks HTTP/2 by hand, well or badly, on a Unix socket."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event

REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/test.Echo/Plain"),
    (b":authority", b"localhost"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
)


def request(**changes: bytes | None) -> list[tuple[bytes, bytes]]:
    """Return a request's fields; `path=`, `content_type=` and so on change or add one."""
    fields = dict(REQUEST)
    for name, value in changes.items():
        key = name.replace("_", "-").encode()
        key = b":" + key if b":" + key in fields else key
        if value is None:
            del fields[key]
        else:
            fields[key] = value
    return list(fields.items())


async def until(happened: Callable[[], object]) -> None:
    """Give way until something that nothing announces has happened."""
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0)


class _Http2(H2Connection):
    """h2, but for taking a GOAWAY as the end at once."""

    def _receive_goaway_frame(self, frame: Any) -> Any:
        event = ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        return [], [event]


class Wire:
    """The client's end of a connection. Nothing is read, or answered, unless asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        config = H2Configuration(
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = _Http2(config)
        self.events: list[Event] = []

    @classmethod
    async def connect(cls, path: Path, *, greet: bool = True) -> Self:
        wire = cls(*await asyncio.open_unix_connection(str(path)))
        if greet:
            wire.h2.initiate_connection()
            wire.flush()
        return wire

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    def call(self, message: bytes | None, *, end: bool = True, **changes: bytes | None) -> int:
        """Send a request; returns its stream."""
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, request(**changes), end_stream=message is None and end)
        if message is not None:
            framed = b"\0" + len(message).to_bytes(4, "big") + message
            self.h2.send_data(stream_id, framed, end_stream=end)
        self.flush()
        return stream_id

    async def until(self, kind: type[Event], **fields: Any) -> Any:
        """Read, answering as HTTP/2 must, until such an event has come."""
        while True:
            for event in self.events:
                if isinstance(event, kind) and all(
                    getattr(event, name) == value for name, value in fields.items()
                ):
                    self.events.remove(event)
                    return event
            data = await self.reader.read(65536)
            if not data:
                raise EOFError(f"closed before {kind.__name__}; had {self.events}")
            self.events += self.h2.receive_data(data)
            self.flush()

    async def closed(self) -> bytes:
        """Read up to the end of the connection; returns what came."""
        out = b""
        with suppress(ConnectionError):
            while data := await self.reader.read(65536):
                out += data
        self.writer.close()
        return out

    def close(self) -> None:
        self.writer.close()
