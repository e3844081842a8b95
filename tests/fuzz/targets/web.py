"""HTTP/1.1 by anybody: requests to a real server, and answers to a real client."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory

import h11

from finial.runtime.web import ClientLimits, WebClient, WebError
from tests.fakes.clock import FakeClock
from tests.fakes.web_lab import WebLab
from tests.fuzz.targets.wire import bench

_CHUNKS = (65536, 1, 9, 17)
_MOST = 4096


def http1_server(data: bytes) -> None:
    """A client's bytes; the first one says in what pieces they come.

    All that is answered is HTTP/1.1, and a client that hangs up is let go of.
    """
    bench().run(_speak(data))


async def _speak(data: bytes) -> None:
    size = _CHUNKS[data[0] % len(_CHUNKS)] if data else 1
    with TemporaryDirectory(prefix="fuzz") as folder:
        lab = WebLab(Path(folder))
        async with lab.serving():
            async with lab.connected() as speaker:
                for start in range(1, len(data), size):
                    await speaker.say(data[start : start + size])
                with contextlib.suppress(OSError):
                    speaker.writer.write_eof()
                _check(await speaker.rest())
            while lab.server.connections:  # noqa: ASYNC110  # nothing announces it
                await asyncio.sleep(0)


def _check(answers: bytes) -> None:
    assert not answers or answers.startswith(b"HTTP/1.1 "), answers[:40]


def http1_client(data: bytes) -> None:
    """A server's answer, whatever it is: an Answer within bounds, or a WebError."""
    bench().run(_read(data))


async def _read(data: bytes) -> None:
    client = WebClient(clock=FakeClock(), most=_MOST, limits=ClientLimits())
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    with contextlib.suppress(WebError, h11.ProtocolError, ValueError):
        # Those are told as WebError by `get`, for which there would have to be TLS.
        answer = await client._answer(_asked(), reader, "peer")
        assert len(answer.body) <= _MOST


def _asked() -> h11.Connection:
    http = h11.Connection(h11.CLIENT)
    headers = [("Host", "peer"), ("Connection", "close")]
    http.send(h11.Request(method="GET", target="/", headers=headers))
    http.send(h11.EndOfMessage())
    return http
