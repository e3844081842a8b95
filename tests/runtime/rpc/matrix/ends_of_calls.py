"""Scenarios: deadlines and cancellation, and who hears of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.runtime.rpc.matrix.scenario import drained, refused, scenario, words
from tests.runtime.rpc.matrix.service import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.runtime.rpc.matrix.link import Link

LATE = grpc.StatusCode.DEADLINE_EXCEEDED


async def heard(link: Link) -> None:
    """Return once a handler has heard that its call is over."""
    assert await link.stub.Heard(b"heard", timeout=20) == b"heard"


async def begun(link: Link) -> int:
    return int(await link.stub.Begun(b""))


async def until_begun(link: Link) -> AsyncIterator[float]:
    """Yield deadlines, each twice the last, until a call had a handler to hear of its end.

    On a machine that is busy enough none begins in the first.
    """
    before, seconds = await begun(link), 0.3
    while seconds < 60 and await begun(link) == before:
        yield seconds
        seconds *= 2


@scenario()
async def a_deadline_ends_the_call_on_both_sides(link: Link) -> None:
    async for seconds in until_begun(link):
        code, _ = await refused(drained(link.stub.Watch(b"", timeout=seconds)))
        assert code is LATE
    await heard(link)


@scenario()
async def a_deadline_ends_a_client_that_is_still_sending(link: Link) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(10_000)
            await asyncio.sleep(0)

    async for seconds in until_begun(link):
        code, message = await refused(link.stub.Unread(endless(), timeout=seconds))
        # What grpc.aio makes of a write that was overtaken by the server's status.
        overtaken = link.client.name != "finial" and message == "Internal error from Core"
        assert code is LATE or overtaken
    await heard(link)


@scenario()
async def the_server_knows_the_deadline(link: Link) -> None:
    assert await link.stub.Remains(b"") == b"-1"
    for seconds in (5, 500, 500_000):
        left = int(await link.stub.Remains(b"", timeout=seconds))
        # Some round the longer ones up to hours.
        assert (seconds - 5) * 1000 <= left <= seconds * 1010


@scenario()
async def deadlines_of_almost_nothing(link: Link) -> None:
    await link.stub.Plain(b"")
    for seconds in (0.0, 1e-9, 1e-6, 1e-4, 1e-3):
        code, _ = await refused(drained(link.stub.Watch(b"", timeout=seconds)))
        assert code is LATE
    assert await link.stub.Plain(b"still here") == b"still here"


@scenario()
async def a_hundred_deadlines_at_once(link: Link) -> None:
    calls = [refused(drained(link.stub.Watch(b"", timeout=0.1 + n / 1000))) for n in range(100)]
    assert {code for code, _ in await asyncio.gather(*calls)} == {LATE}
    assert await link.stub.Plain(b"still here") == b"still here"


async def cancelled(call: Any, waiting: Any) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert call.cancelled()
    assert await call.code() is grpc.StatusCode.CANCELLED


@scenario()
async def a_client_cancels_while_it_waits(link: Link) -> None:
    call = link.stub.Watch(b"first")
    assert await call.read() == b"first"
    await cancelled(call, call.read())
    await heard(link)


@scenario()
async def a_client_cancels_what_floods_it(link: Link) -> None:
    call = link.stub.Flood(b"100000")
    for _ in range(10):
        assert len(await call.read()) == 100_000
    call.cancel()
    await heard(link)
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert await link.stub.Plain(b"still here") == b"still here"


@scenario()
async def a_client_cancels_while_nobody_reads_what_it_sends(link: Link) -> None:
    handlers = await begun(link)
    call, written = link.stub.Unread(), 0

    async def write() -> None:
        nonlocal written
        while True:
            await call.write(bytes(100_000))
            written += 1

    writing = asyncio.ensure_future(write())
    before = -1
    while before != written or not written or await begun(link) == handlers:
        before = written
        for _ in range(10):
            assert await link.stub.Plain(b"others go on") == b"others go on"
    call.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert writing.cancelled() or writing.exception() is not None
    await heard(link)


@scenario()
async def a_server_cancels(link: Link) -> None:
    for after in (0, 2):
        call = link.stub.Fail(bytes(Refusal(1, "not any more", after=after)))
        for number in range(after):
            assert await call.read() == b"%d" % number
        error = await _ended(call)
        assert error == (grpc.StatusCode.CANCELLED, "not any more")


async def _ended(call: Any) -> tuple[grpc.StatusCode, str | None]:
    """What the call ended with; grpc.aio raises the caller's own CancelledError for CANCELLED."""
    with pytest.raises((grpc.RpcError, asyncio.CancelledError)):
        await call.read()
    return await call.code(), await call.details()


@scenario(clients=["finial", "grpcio"])
async def a_caller_who_stops_waiting_cancels(link: Link) -> None:
    call = link.stub.Unread(words())

    async def wait() -> None:
        await call

    waiting = asyncio.ensure_future(wait())
    await link.stub.Plain(b"")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert await link.stub.Plain(b"still here") == b"still here"
