"""Scenarios: flow control, many streams and connections, and connections that end under load."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc

from finial.runtime.clock import SystemClock
from tests.runtime.rpc.matrix.link import MIB, Options
from tests.runtime.rpc.matrix.memory import growth
from tests.runtime.rpc.matrix.scenario import drained, refused, scenario, words
from tests.runtime.rpc.matrix.service import Stub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.runtime.rpc.matrix.link import Link

BLOCK = 100_000


async def stopped(link: Link) -> int:
    """Return how many messages the flood has sent once it sends no more."""
    last, same = -1, 0
    while same < 5:
        now = int(await link.stub.Sent(b""))
        same = same + 1 if now == last else 0
        last = now
    return last


# A fixed window: grpcio and grpc-go otherwise let theirs grow to what they make of the network.
@scenario(Options(window=256 * 1024))
async def a_client_that_reads_slowly_holds_the_server_back(link: Link) -> None:
    call = link.stub.Flood(b"%d" % BLOCK)
    assert len(await call.read()) == BLOCK
    # Both ends' windows and sockets fill, and then it waits; others' calls go on.
    assert await stopped(link) < 200
    for _ in range(250):
        assert len(await call.read()) == BLOCK
    call.cancel()


@scenario(Options(window=256 * 1024))
async def a_server_that_reads_slowly_holds_the_client_back(link: Link) -> None:
    written = 0

    async def requests() -> AsyncIterator[bytes]:
        nonlocal written
        for _ in range(400):
            yield bytes(BLOCK)
            written += 1

    call = link.stub.Hold(requests())
    waiting = asyncio.ensure_future(_result(call))
    before = -1
    while before != written:
        before = written
        for _ in range(10):
            assert await link.stub.Plain(b"others go on") == b"others go on"
    assert written < 200
    await link.stub.Release(b"")
    assert await waiting == b"%d" % (400 * BLOCK)


async def _result(call: object) -> bytes:
    return bytes(await call)  # type: ignore[misc]  # a call of either make


@scenario(Options(window=65_535, message=9 * MIB))
async def small_windows_both_ways(link: Link) -> None:
    message = b"0123456789abcdef" * (MIB // 2)
    assert await link.stub.Plain(message, timeout=60) == message
    parts = [message[:BLOCK].upper()] * 30
    results = await asyncio.gather(
        *(drained(link.stub.Chat(words(*parts))) for _ in range(3)),
        *(link.stub.Plain(b"%d" % n) for n in range(50)),
    )
    assert results == [parts] * 3 + [b"%d" % n for n in range(50)]


@scenario(Options(window=65_535))
async def a_reader_of_small_windows_that_stops_blocks_nobody(link: Link) -> None:
    slow = await link.another()
    call = slow.Flood(b"%d" % BLOCK)
    assert len(await call.read()) == BLOCK
    for number in range(200):
        assert await link.stub.Plain(b"%d" % number, timeout=20) == b"%d" % number
    for _ in range(20):
        assert len(await call.read()) == BLOCK
    call.cancel()


@scenario()
async def small_calls_are_not_starved_by_large_ones(link: Link) -> None:
    read = 0

    async def flood() -> None:
        nonlocal read
        async for message in link.stub.Flood(b"%d" % BLOCK):
            read += len(message)

    floods = [asyncio.ensure_future(flood()) for _ in range(4)]
    for number in range(40):
        assert await link.stub.Plain(b"%d" % number, timeout=20) == b"%d" % number
    assert read > 0
    for each in floods:
        each.cancel()
    await asyncio.gather(*floods, return_exceptions=True)


@scenario()
async def large_and_small_calls_at_once(link: Link) -> None:
    message = b"0123456789abcdef" * (MIB // 8)
    answers = await asyncio.gather(
        *(link.stub.Plain(message, timeout=60) for _ in range(6)),
        *(link.stub.Plain(b"%d" % n, timeout=60) for n in range(200)),
    )
    assert answers == [message] * 6 + [b"%d" % n for n in range(200)]


@scenario()
async def forty_connections_at_once(link: Link) -> None:
    stubs = [await link.another() for _ in range(40)]
    answers = await asyncio.gather(
        *(stub.Plain(b"%d" % n, timeout=30) for stub in stubs for n in range(10))
    )
    assert answers == [b"%d" % n for _ in stubs for n in range(10)]


@scenario(Options(age=0.2))
async def connections_that_grow_old_lose_no_call(link: Link) -> None:
    clock = SystemClock()
    end, done = clock.monotonic() + 1.0, 0

    def go_on() -> bool:
        return clock.monotonic() < end or done < 200

    async def call_on() -> None:
        nonlocal done
        while go_on():
            number = b"%d" % done
            assert await link.stub.Plain(number, timeout=20) == number
            done += 1

    async def stream_on() -> None:
        while go_on():
            sent = [b"%d" % n for n in range(20)]
            assert await drained(link.stub.Chat(words(*sent))) == sent

    await asyncio.gather(*(call_on() for _ in range(16)), *(stream_on() for _ in range(4)))
    link.say.append(f"{done} calls over 5 connections or so, none lost")


@scenario(Options(age=0.2))
async def a_call_that_is_under_way_outlives_its_connections_age(link: Link) -> None:
    call = link.stub.Chat()
    for number in range(6):
        word = b"%d" % number
        await call.write(word)
        assert await call.read() == word
        await SystemClock().sleep(0.1)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


@scenario(Options(keepalive=0.05))
async def keepalive_pings_are_answered(link: Link) -> None:
    call = link.stub.Watch(b"first")
    assert await call.read() == b"first"
    await SystemClock().sleep(0.5)
    assert not call.done()
    assert await link.stub.Plain(b"still here") == b"still here"
    call.cancel()


@scenario()
async def a_call_that_waits_until_the_server_is_ready(link: Link) -> None:
    away = link.place.socket.with_name("later")
    place = type(link.place)(away)
    async with link.client(f"unix:{away}", place, link.options) as channel:
        stub = Stub(channel)
        call = stub.Plain(b"patient", wait_for_ready=True, timeout=30)
        waiting = asyncio.ensure_future(_result(call))
        for _ in range(3):
            code, _message = await refused(stub.Plain(b"impatient"))
            assert code is grpc.StatusCode.UNAVAILABLE
        assert not call.done()
        async with link.server(place, link.options):
            assert await waiting == b"patient"


# A synchronous server would need as many threads.
@scenario(
    Options(streams=20_000),
    clients=["finial", "grpcio", "grpcgo"],
    servers=["finial", "grpcio", "grpcgo"],
)
async def ten_thousand_streams(link: Link) -> None:
    await link.stub.Plain(b"")
    with growth() as grown:
        calls = [link.stub.Watch(b"%d" % n) for n in range(10_000)]
        assert await asyncio.gather(*(call.read() for call in calls)) == [
            b"%d" % n for n in range(10_000)
        ]
        if link.server.name == "grpcgo":  # the others share our process
            link.say.append(f"{grown.each(10_000):.1f} KiB a stream of our channel's")
    assert await link.stub.Plain(b"still here") == b"still here"
    for call in calls:
        call.cancel()
    assert await link.stub.Plain(b"still here") == b"still here"
