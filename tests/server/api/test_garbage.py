"""Whatever a client sends, no method answers with a fault of ours."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from finial.api.spire.server import agent_pb2, bundle_pb2, entry_pb2, logger_pb2, svid_pb2
from finial.runtime.rpc import Channel, RpcError
from finial.server.api.authorization import TABLE, CallerKind
from tests.fakes.server_api import ApiLab, csr, open_lab

OURS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}
REFUSED = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED}
WORDS = st.sampled_from(
    (
        *("", "example.org", "spiffe://example.org", "other.org", "/web", "/spire/agent/x", "/"),
        *("a b", "unix", "uid:1", "*.a.org", "join_token", "*", "\0", "9" * 400, "../.."),
    )
)
TEXT = WORDS | st.text(max_size=40)
BYTES = st.sampled_from([b"", b"\x30\x03\x02\x01\x01", csr(uris=["spiffe://example.org/web"])])
NUMBERS = {
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_ENUM: st.integers(-1, 12),
}
PROTOS = (agent_pb2, bundle_pb2, entry_pb2, logger_pb2, svid_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for proto in PROTOS
    for service in proto.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def value_of(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return message_of(field.message_type)
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXT
    if field.type == FieldDescriptor.TYPE_BYTES:
        return BYTES | st.binary(max_size=40)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    return NUMBERS[field.type].map(int) | st.integers(0, 3)


@st.composite
def message_of(draw: Any, descriptor: Descriptor | None) -> Message:
    """A message of that type with any of its fields set to anything."""
    assert descriptor is not None
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if draw(st.booleans()):
            set_field(draw, message, field)
    return message


def set_field(draw: Any, message: Message, field: FieldDescriptor) -> None:
    if field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(value_of(field), max_size=3)))
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, field.name).CopyFrom(draw(value_of(field)))
    else:
        setattr(message, field.name, draw(value_of(field)))


def serialise(message: Message) -> bytes:
    return message.SerializeToString()


async def outcome(channel: Channel, method: MethodDescriptor, request: Message) -> grpc.StatusCode:
    path = f"/{method.containing_service.full_name}/{method.name}"
    response = GetMessageClass(method.output_type).FromString
    try:
        if method.client_streaming:
            stream: Any = channel.stream_stream(path, serialise, response)
            async for _ in stream(iter([request, request])):
                pass
        else:
            await channel.unary_unary(path, serialise, response)(request)
    except RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def channels(lab: ApiLab, method: str, agent: Channel) -> Iterator[Channel]:
    """Those over which the method is open, and one over which it isn't, if there is any."""
    kinds = TABLE[method]
    if CallerKind.AGENT in kinds:
        yield agent
    if CallerKind.LOCAL in kinds:
        yield lab.local
    yield lab.anonymous


async def check(folder: Path, path: str, requests: list[Message]) -> None:
    async with open_lab(folder) as lab:
        agent = await lab.attest()
        for channel in channels(lab, path, agent.channel):
            closed = channel is lab.anonymous and CallerKind.ANY not in TABLE[path]
            for request in requests:
                await lab.clock.advance(1)  # past any rate limit
                code = await outcome(channel, METHODS[path], request)
                assert code in REFUSED if closed else code not in OURS, request


@pytest.mark.parametrize("path", METHODS)
@settings(max_examples=3, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(data=st.data())
def test_no_message_makes_a_method_fail(
    path: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    requests = st.lists(message_of(METHODS[path].input_type), min_size=10, max_size=15)
    drawn = data.draw(requests)
    asyncio.run(check(tmp_path_factory.mktemp("lab"), path, drawn))
