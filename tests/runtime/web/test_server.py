"""The HTTP server, spoken to byte by byte."""

import asyncio
from pathlib import Path

import grpc
import pytest

from finial.runtime.web import WebLimits
from tests.fakes.waiting import eventually
from tests.fakes.web_lab import WebLab, status

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def test_a_get_is_answered_and_the_connection_kept(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as speaker:
        for _ in range(3):
            await speaker.say(GET)
            answer = await speaker.answer()
            assert status(answer) == 200
            assert answer.endswith(b"GET / a plain ")
            assert b"\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT\r\n" in answer


async def test_requests_sent_ahead_are_answered_in_their_order(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving():
        many = b"".join(b"GET /?%d HTTP/1.1\r\nHost: %d\r\n\r\n" % (n, n) for n in range(50))
        answer = await lab.ask(many + LAST)
    hosts = [line.split()[2] for line in answer.split(b"\r\n") if line.startswith(b"GET / ")]
    # Each body is followed by the next status line.
    assert [host for host in hosts if host != b"a"] == [b"%d" % n for n in range(50)]


async def test_a_head_is_answered_without_a_body(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving():
        answer = await lab.ask(LAST.replace(b"GET", b"HEAD"))
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\n")


async def test_what_is_wrong_after_a_head_is_told_with_a_body(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving():
        answer = await lab.ask(GET.replace(b"GET", b"HEAD") + b"\x16\x03\x01\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n400 malformed request\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
async def test_another_method_is_answered_405_with_those_that_are_allowed(
    folder: Path, method: str
) -> None:
    lab = WebLab(folder)
    async with lab.serving():
        answer = await lab.ask(LAST.replace(b"GET", method.encode()))
    assert status(answer) == 405
    assert b"allow: get, head\r\n" in answer.lower()


async def test_another_path_is_answered_404(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving():
        for path in (b"//", b"/x", b"/../", b"/%2f"):
            assert status(await lab.ask(LAST.replace(b" / ", b" " + path + b" "))) == 404


async def test_an_absolute_target_is_its_path_for_its_own_host(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving():
        answer = await lab.ask(LAST.replace(b" / ", b" http://b.test:8/?q "))
        assert answer.endswith(b"GET / b.test:8 plain ")
        assert status(await lab.ask(LAST.replace(b" / ", b" * "))) == 400


async def test_a_body_is_taken_up_to_its_bound(folder: Path) -> None:
    lab = WebLab(folder, WebLimits(max_body=10))
    async with lab.serving():
        head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        body = await lab.ask(head + b"Content-Length: 10\r\n\r\n0123456789")
        assert body.endswith(b"0123456789")
        assert status(await lab.ask(head + b"Content-Length: 11\r\n\r\n01234567890")) == 413
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 11 + b"0\r\n\r\n"
        assert status(await lab.ask(chunked)) == 413


@pytest.mark.parametrize("count", [1, 400, 4000])
async def test_long_headers_are_refused_however_they_come(folder: Path, count: int) -> None:
    lab = WebLab(folder)
    async with lab.serving():
        fields = b"X: y\r\n" * count if count > 1 else b"X: " + b"y" * 70_000 + b"\r\n"
        whole = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + fields
        answer = await lab.ask(whole + b"\r\n")
        assert status(answer) == (200 if count == 400 else 431)
        if count != 400:
            assert status(await lab.ask(whole)) == 431


async def test_who_waits_to_send_a_body_is_told_to_keep_it(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving():
        answer = await lab.ask(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
    assert status(answer) == 417


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
    ],
)
async def test_garbage_is_answered_400_and_disturbs_nobody_else(
    folder: Path, garbage: bytes
) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as other:
        await other.say(GET[:10])
        async with lab.connected() as speaker:
            await speaker.say(garbage)
            answered = asyncio.ensure_future(speaker.rest())
            await eventually(lambda: len(lab.server.connections) == 2)
            await lab.clock.advance(1.5)
            answer = await answered
        assert status(answer) in (400, 501)
        assert answer.count(b"HTTP/1.1") == 1
        await other.say(GET[10:])
        assert status(await other.answer()) == 200


async def test_a_handler_that_fails_is_answered_500_and_the_connection_goes_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as speaker:
        await speaker.say(GET.replace(b" / ", b" /broken "))
        assert status(await speaker.answer()) == 500
        await speaker.say(GET)
        assert status(await speaker.answer()) == 200
    assert "cannot answer a request" in caplog.text


async def test_every_request_is_told_to_the_observer_by_a_name_out_of_few(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving():
        for path in (b"/", b"/a", b"/b", b"/broken"):
            await lab.ask(LAST.replace(b" / ", b" " + path + b" "))
        await lab.ask(LAST.replace(b"GET", b"SECRET"))
    codes = grpc.StatusCode
    assert lab.ear.calls == [
        ("lab GET /", codes.OK),
        ("lab GET *", codes.NOT_FOUND),
        ("lab GET *", codes.NOT_FOUND),
        ("lab GET /broken", codes.INTERNAL),
        ("lab * /", codes.UNIMPLEMENTED),
    ]


async def test_who_says_nothing_is_let_go(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as speaker:
        await eventually(lambda: lab.server.connections)
        await lab.clock.advance(9)
        assert len(lab.server.connections) == 1
        await lab.clock.advance(2)
        assert status(await speaker.rest()) == 408


async def test_a_request_that_trickles_is_let_go_from_its_first_byte_on(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as speaker:
        await speaker.say(GET)
        await speaker.answer()
        await lab.clock.advance(50)  # idle, as it may be
        await speaker.say(GET[:1])
        await eventually(lambda: any(c._reading for c in lab.server.connections))
        for byte in GET[1:10]:
            await lab.clock.advance(1)
            await speaker.say(bytes([byte]))
        await lab.clock.advance(1.5)
        assert status(await speaker.rest()) == 408


async def test_an_idle_connection_is_closed_without_a_word(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as speaker:
        await speaker.say(GET)
        await speaker.answer()
        await lab.clock.advance(59)
        assert len(lab.server.connections) == 1
        await lab.clock.advance(2)
        assert await speaker.rest() == b""


async def test_who_does_not_take_the_answer_is_let_go(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as speaker:
        speaker.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await speaker.say(GET.replace(b" / ", b" /huge "))
        await eventually(lambda: any(c._writing for c in lab.server.connections))
        await lab.clock.advance(29)
        assert len(lab.server.connections) == 1
        await lab.clock.advance(2)
        await eventually(lambda: not lab.server.connections)


async def test_nothing_is_read_from_who_does_not_take_the_answer(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as speaker:
        speaker.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await speaker.say(GET.replace(b" / ", b" /huge "))
        await eventually(lambda: any(c._writing for c in lab.server.connections))
        flood = asyncio.ensure_future(speaker.say(GET * 200_000))
        await asyncio.sleep(0.05)
        assert not flood.done()
        assert len(lab.ear.calls) < 3
        flood.cancel()


async def test_callers_are_counted_and_one_too_many_hears_503(folder: Path) -> None:
    lab = WebLab(folder, WebLimits(connections_per_uid=2))
    async with lab.serving(), lab.connected() as one, lab.connected() as two:
        for speaker in (one, two):
            await speaker.say(GET)
            assert status(await speaker.answer()) == 200
        assert status(await lab.ask(b"")) == 503
        await one.close()
        await eventually(lambda: len(lab.server.connections) == 1)
        assert status(await lab.ask(LAST)) == 200


async def test_a_draining_server_ends_what_was_begun_and_takes_no_more(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as idle, lab.connected() as busy:
        await idle.say(GET)
        await idle.answer()
        await busy.say(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
        await eventually(lambda: any(c._request for c in lab.server.connections))
        drained = asyncio.ensure_future(lab.server.drain(5))
        assert await idle.rest() == b""
        await busy.say(b"x")
        answer = await busy.rest()
        assert status(answer) == 200
        assert b"connection: close" in answer.lower()
        await drained
        assert not lab.path.exists()


async def test_a_draining_server_waits_no_longer_than_its_grace(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as busy:
        await busy.say(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
        await eventually(lambda: any(c._request for c in lab.server.connections))
        drained = asyncio.ensure_future(lab.server.drain(5))
        await lab.clock.advance(4)
        assert not drained.done()
        await lab.clock.advance(2)
        await drained
        assert await busy.rest() == b""


async def test_a_connection_that_ends_when_its_answer_was_taken_ends_once(folder: Path) -> None:
    """Asyncio closes a transport a second time that is closed while it tells of room to write."""
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as speaker:
        speaker.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await speaker.say(GET.replace(b" / ", b" /huge ") + LAST)
        await eventually(lambda: any(c._writing for c in lab.server.connections))
        speaker.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await speaker.rest()).endswith(b"GET / a plain ")
        await eventually(lambda: not lab.server.connections)
    assert failures == []


async def test_who_sends_many_requests_ahead_lets_others_have_their_turn(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as speaker:
        most, before, seen = 0, 0, 0
        await speaker.say(GET * 50)
        async with asyncio.timeout(10):
            while seen < 50:
                await asyncio.sleep(0)
                before, seen = seen, len(lab.ear.calls)
                most = max(most, seen - before)
                if 0 < seen < 48:
                    (connection,) = lab.server.connections
                    assert connection._transport is not None
                    assert not connection._transport.is_reading()
        assert most == 8
        for _ in range(50):
            assert status(await speaker.answer()) == 200
        await speaker.say(GET)
        assert status(await speaker.answer()) == 200


async def test_a_connection_that_ends_between_two_turns_has_no_more_answered(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as speaker:
        await speaker.say(GET * 50)
        await eventually(lambda: any(c._turn for c in lab.server.connections))
        (connection,) = lab.server.connections
        connection.drain()
        answered = len(lab.ear.calls)
        assert connection._turn is None
        assert (await speaker.rest()).count(b"HTTP/1.1 200") == answered < 50
    assert len(lab.ear.calls) == answered


async def test_the_hundredth_answer_is_the_last_of_its_connection(folder: Path) -> None:
    lab = WebLab(folder)
    async with lab.serving(), lab.connected() as speaker:
        await speaker.say(GET * 2000)
        for n in range(1, 101):
            answer = await speaker.answer()
            assert status(answer) == 200
            assert (b"connection: close" in answer.lower()) == (n == 100)
        await lab.clock.advance(1.5)
        assert await speaker.rest() == b""
        await eventually(lambda: not lab.server.connections)
    assert len(lab.ear.calls) == 100
