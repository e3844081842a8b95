"""Scenarios: every kind of call, every form of error, metadata, both orders of half-closing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import status_pb2

from tests.runtime.rpc.matrix.link import MIB, Options
from tests.runtime.rpc.matrix.scenario import drained, failure, refused, scenario, words
from tests.runtime.rpc.matrix.service import Refusal

if TYPE_CHECKING:
    from tests.runtime.rpc.matrix.link import Link

ERRORS = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
MESSAGES = ("", "plain", "no: 100% ünicode\n\t", "%41 is no escape", "日本語 🙂", "x" * 2000)


@scenario()
async def a_request_and_a_response(link: Link) -> None:
    for size in (0, 1, 16_379, 70_000, 3 * MIB):
        message = bytes(size)
        assert await link.stub.Plain(message, timeout=30) == message


@scenario()
async def a_stream_of_responses(link: Link) -> None:
    assert await drained(link.stub.Count(b"1000")) == [b"%d" % n for n in range(1000)]
    assert await drained(link.stub.Count(b"0")) == []


@scenario()
async def a_stream_of_requests(link: Link) -> None:
    assert await link.stub.Total(words(*[bytes(1000)] * 300)) == b"300000"
    assert await link.stub.Total(words()) == b"0"


@scenario()
async def streams_both_ways_in_step(link: Link) -> None:
    call = link.stub.Chat()
    for word in (b"a", b"", b"c"):
        await call.write(word)
        assert await call.read() == word.upper()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


@scenario()
async def streams_both_ways_at_once(link: Link) -> None:
    sent = [b"%d" % n * 500 for n in range(500)]
    assert await drained(link.stub.Chat(words(*sent))) == sent


@scenario()
async def three_hundred_calls_at_once(link: Link) -> None:
    answers = await asyncio.gather(*(link.stub.Plain(b"%d" % n) for n in range(300)))
    assert answers == [b"%d" % n for n in range(300)]


@scenario()
async def the_client_closes_its_half_first(link: Link) -> None:
    call = link.stub.Chat()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


@scenario()
async def the_server_ends_before_the_client_has(link: Link) -> None:
    call = link.stub.Early()
    await call.write(b"one of many")
    assert await call == b"one of many"
    assert await call.code() is grpc.StatusCode.OK
    assert await link.stub.Plain(b"still here") == b"still here"


@scenario()
async def every_code_alone(link: Link) -> None:
    for code in ERRORS:
        refusal = bytes(Refusal(code.value[0], f"as {code.name}"))
        assert await refused(link.stub.Refuse(refusal)) == (code, f"as {code.name}")
        assert await refused(drained(link.stub.Fail(refusal))) == (code, f"as {code.name}")


@scenario()
async def an_error_after_messages(link: Link) -> None:
    call = link.stub.Fail(bytes(Refusal(9, "enough", after=3)))
    for number in range(3):
        assert await call.read() == b"%d" % number
    assert await refused(call.read()) == (grpc.StatusCode.FAILED_PRECONDITION, "enough")


@scenario()
async def every_message_of_an_error(link: Link) -> None:
    for message in MESSAGES:
        for after in (0, 1):
            call = link.stub.Fail(bytes(Refusal(5, message, after=after)))
            assert await refused(drained(call)) == (grpc.StatusCode.NOT_FOUND, message)


@scenario()
async def an_error_with_details(link: Link) -> None:
    for after in (0, 2):
        call = link.stub.Fail(bytes(Refusal(7, "no", after=after, details=True)))
        error = await failure(drained(call))
        raw = dict(error.trailing_metadata())["grpc-status-details-bin"]
        status: Any = status_pb2.Status.FromString(raw)
        value = StringValue()
        assert (status.code, status.message) == (7, "no")
        assert status.details[0].Unpack(value)
        assert value.value == "why"


@scenario(servers=["grpcgo"])
async def a_code_that_nobody_knows(link: Link) -> None:
    error = await failure(link.stub.Refuse(bytes(Refusal(42, "novel"))))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, "novel")


@scenario()
async def methods_that_are_not_there(link: Link) -> None:
    for call in (link.stub.Nope(b""), link.stub.Nowhere(b"")):
        code, _ = await refused(call)
        assert code is grpc.StatusCode.UNIMPLEMENTED


@scenario()
async def metadata_both_ways(link: Link) -> None:
    sent = (
        ("x-text", "one"),
        ("x-bytes-bin", b"\0\xff"),
        ("x-text", "two"),
        ("x-bytes-bin", b""),
        ("x-bytes-bin", b"a,b"),
        ("x-empty", ""),
    )
    call = link.stub.Metadata(b"", metadata=sent)
    assert await call == b""
    initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
    for name in ("x-text", "x-bytes-bin", "x-empty"):
        want = [value for key, value in sent if key == name]
        assert [value for key, value in initial if key == name] == want
        assert [value for key, value in trailing if key == "t-" + name] == want


@scenario()
async def metadata_up_to_the_limit(link: Link) -> None:
    # 12 KiB on the wire; a list may have 16 with all that gRPC itself puts into it.
    sent = (("x-large-bin", bytes(range(256)) * 24), ("x-text", "t" * 4000))
    call = link.stub.Metadata(b"", metadata=sent)
    assert await call == b""
    for metadata, prefix in (
        (await call.initial_metadata(), ""),
        (await call.trailing_metadata(), "t-"),
    ):
        found = dict(metadata)
        assert [found[prefix + name] for name, _ in sent] == [value for _, value in sent]


@scenario(servers=["finial"])
async def metadata_above_the_limit_ends_that_call_alone(link: Link) -> None:
    held = link.stub.Watch(b"held")
    assert await held.read() == b"held"
    code, _ = await refused(link.stub.Plain(b"", metadata=(("x-large", "x" * 17_000),)))
    assert code is not grpc.StatusCode.OK
    assert await link.stub.Plain(b"still here") == b"still here"
    held.cancel()


@scenario(Options(message=17 * MIB))
async def sixteen_mebibytes_both_ways(link: Link) -> None:
    message = b"0123456789abcdef" * MIB
    assert await link.stub.Plain(message, timeout=60) == message
    assert await drained(link.stub.Chat(words(message))) == [message.upper()]


@scenario()
async def a_request_above_the_limit_is_refused_by_the_server(link: Link) -> None:
    for call in (
        link.stub.Plain(bytes(4 * MIB + 1)),
        link.stub.Total(words(b"small", bytes(4 * MIB + 1))),
    ):
        code, message = await refused(call)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max (4194305 vs. 4194304)" in message
    exactly = bytes(4 * MIB)
    assert await link.stub.Plain(exactly, timeout=30) == exactly


@scenario()
async def a_response_above_the_limit_is_refused_by_the_client(link: Link) -> None:
    code, message = await refused(link.stub.Flood(b"%d" % (4 * MIB + 1)).read())
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max (4194305 vs. 4194304)" in message
    await link.stub.Heard(b"")
    assert await link.stub.Plain(b"still here") == b"still here"


@scenario(Options(compression=True), clients=["grpcio", "grpcgo"], servers=["finial"])
async def a_compressing_client_is_told_that_we_do_not(link: Link) -> None:
    code, message = await refused(link.stub.Plain(bytes(1000)))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "grpc-encoding 'gzip' is not supported" in message


@scenario(Options(compression=True), clients=["finial"], servers=["grpcio", "grpcgo"])
async def a_server_that_compresses_unasked_is_refused(link: Link) -> None:
    code, message = await refused(link.stub.Plain(bytes(1000)))
    assert (code, message) == (grpc.StatusCode.INTERNAL, "the server compresses, unasked")
