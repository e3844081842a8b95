"""grpc-go's ends of the matrix: the server for our channel, and one case of the client."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tests.interop.gobuild import built

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.runtime.rpc.matrix.link import Credentials, Options, Place

HERE = Path(__file__).parent
NAME = "grpcgo"
PATIENCE = 120.0


def _words(options: Options, own: Credentials | None) -> list[str]:
    files = [] if own is None else [str(own.roots), str(own.chain), str(own.key)]
    return [json.dumps(asdict(options)), *files]


class GoServer:
    """A grpc-go server in a process of its own."""

    name = NAME

    @asynccontextmanager
    async def __call__(self, place: Place, options: Options) -> AsyncIterator[str]:
        where = str(place.socket) if place.server is None else "127.0.0.1:0"
        async with _started("server", where, *_words(options, place.server)) as process:
            address = (await _line(process)).strip()
            yield f"unix:{address}" if place.server is None else address


@asynccontextmanager
async def go_client(
    target: str, case: str, place: Place, options: Options
) -> AsyncIterator[GoClient]:
    """Put the server at `target` through a case."""
    words = _words(options, place.client)
    async with _started("client", target.replace("unix:", "unix://"), case, *words) as process:
        yield GoClient(process)


class GoClient:
    """The case under way."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def said(self) -> str:
        """Return the next line that it prints."""
        return await _line(self._process)

    async def passed(self) -> str:
        """Wait for its end; returns what it printed. Raises AssertionError with its reason."""
        async with asyncio.timeout(PATIENCE):
            out, err = await self._process.communicate(b"\n")
        assert self._process.returncode == 0, err.decode()
        return out.decode()


@asynccontextmanager
async def _started(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        str(built(HERE)),
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        line = await process.stdout.readline()
        assert line, (await process.stderr.read()).decode()
    return line.decode()
