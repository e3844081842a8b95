"""Requests of any RPC, made by hypothesis from the messages' own descriptors; and how calls end."""

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from finial.api.spire import types_pb2
from finial.runtime.rpc import Channel, RpcError
from finial.server.api.authorization import TABLE
from tests.fakes.server_api import csr

Metadata = tuple[tuple[str, str], ...]

WORDS = st.sampled_from(
    (
        *("", "example.org", "spiffe://example.org", "other.org", "/web", "/spire/agent/x", "/"),
        *("a b", "unix", "uid:1", "*.a.org", "join_token", "*", "\0", "9" * 400, "../.."),
        *("spiffe://other.org", "spiffe://other.org/spire/server"),
    )
)
TEXT = WORDS | st.text(max_size=40)
BYTES = st.sampled_from([b"", b"\x30\x03\x02\x01\x01", csr(uris=["spiffe://example.org/web"])])
NUMBERS = {
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_ENUM: st.integers(-1, 12),
}


def methods() -> dict[str, MethodDescriptor]:
    """Every method of every service that the table of rights names, by its path."""
    pool = descriptor_pool.Default()
    services = dict.fromkeys(path.split("/")[1] for path in TABLE)
    return {
        f"/{name}/{method.name}": method
        for name in services
        for method in pool.FindServiceByName(name).methods
    }


DOMAINS = st.sampled_from(("other.org", "spiffe://other.org", "third.org"))
AGENT = types_pb2.SPIFFEID(trust_domain="example.org", path="/spire/agent/x")
IDS = st.builds(
    types_pb2.SPIFFEID,
    trust_domain=st.just("example.org"),
    path=st.sampled_from(("/web", "/a/b", "/c")),
)
USUAL: dict[str, st.SearchStrategy[Any]] = {
    "SPIFFEID": IDS,
    "SPIFFEID parent_id": st.just(AGENT),
    "Selector": st.builds(
        types_pb2.Selector, type=st.just("unix"), value=st.sampled_from(("uid:1", "uid:2"))
    ),
    "trust_domain": DOMAINS,
    "federates_with": DOMAINS,
    "dns_names": st.sampled_from(("a.example.org", "b.example.org")),
    "hint": st.sampled_from(("", "internal")),
    "ttl": st.integers(1, 3600),
    "token": st.sampled_from(("t1", "t2")),
}
"""Values as honest callers send them, by type and name: nonsense alone gets past no first check."""


def _usual(field: FieldDescriptor) -> st.SearchStrategy[Any] | None:
    if field.type == FieldDescriptor.TYPE_BOOL:  # a mask's
        return None
    if field.message_type is None:
        return USUAL.get(field.name)
    kind = field.message_type.name
    return USUAL.get(f"{kind} {field.name}", USUAL.get(kind))


def _mostly(
    usual: st.SearchStrategy[Any] | None, anything: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    if usual is None:
        return anything
    return st.integers(0, 9).flatmap(lambda number: usual if number else anything)


def value_of(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    return _mostly(_usual(field), _any_value_of(field))


def _any_value_of(field: FieldDescriptor) -> st.SearchStrategy[Any]:
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
        if draw(st.integers(0, 7)):
            _set(draw, message, field)
    return message


def _set(draw: Any, message: Message, field: FieldDescriptor) -> None:
    if field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(value_of(field), max_size=3)))
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, field.name).CopyFrom(draw(value_of(field)))
    else:
        setattr(message, field.name, draw(value_of(field)))


async def answer_to(
    channel: Channel, method: MethodDescriptor, request: Message, metadata: Metadata = ()
) -> list[Message]:
    """The answers of a call, at most one of a stream; raises RpcError.

    A stream of requests is twice the same.
    """
    path = f"/{method.containing_service.full_name}/{method.name}"
    parse = GetMessageClass(method.output_type).FromString
    if method.client_streaming:
        both: Any = channel.stream_stream(path, _serialise, parse)
        return [answer async for answer in both(iter([request, request]), metadata=metadata)]
    if method.server_streaming:
        down: Any = channel.unary_stream(path, _serialise, parse)
        async for answer in down(request, metadata=metadata):
            return [answer]
        return []
    unary: Any = channel.unary_unary(path, _serialise, parse)
    return [await unary(request, metadata=metadata)]


async def outcome_of(
    channel: Channel, method: MethodDescriptor, request: Message, metadata: Metadata = ()
) -> tuple[RpcError | None, list[Message]]:
    """How a call ended, None for well, and its answers."""
    try:
        return None, await answer_to(channel, method, request, metadata)
    except RpcError as error:
        return error, []


def refused_items(answers: list[Message]) -> bool:
    """Whether an answer is to a batch, and every item of it was refused."""
    results = [each for answer in answers for each in getattr(answer, "results", ())]
    return bool(results) and all(each.status.code != 0 for each in results)


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()


OURS = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE})
"""Codes that speak of a fault of the server's."""

SPIRES: Mapping[str, tuple[str, ...]] = {
    "Agent/ListAgents": ("failed to list agents: ",),
    "Agent/CreateJoinToken": ("failed to create token: ",),
    "Entry/ListEntries": ("failed to list entries: ",),
    "TrustDomain/ListFederationRelationships": ("failed to list federation relationships: ",),
    "TrustDomain/RefreshBundle": ("failed to refresh bundle: ",),
    "LocalAuthority/ActivateJWTAuthority": ("only Prepared authorities can be activated",),
    "LocalAuthority/ActivateX509Authority": ("only Prepared authorities can be activated",),
    "LocalAuthority/ActivateWITAuthority": ("only Prepared authorities can be activated",),
    "LocalAuthority/TaintJWTAuthority": ("failed to taint JWT authority: ",),
    "LocalAuthority/TaintX509Authority": ("failed to taint X.509 authority: ",),
    "LocalAuthority/TaintWITAuthority": ("failed to taint WIT authority: ",),
    "LocalAuthority/RevokeJWTAuthority": ("failed to revoke JWT authority: ",),
    "LocalAuthority/RevokeX509Authority": ("failed to revoke X.509 authority: ",),
    "LocalAuthority/RevokeWITAuthority": ("failed to revoke WIT authority: ",),
}
"""Where SPIRE's own server answers Internal to what its caller got wrong: method, text begins."""


def is_fault(path: str, error: RpcError) -> bool:
    """Whether a call ended as only a fault of the server's may end it."""
    if error.code() is grpc.StatusCode.INTERNAL:
        texts = SPIRES.get(path.rpartition(".")[2], ())
        return not any(error.details().startswith(text) for text in texts)
    return error.code() in OURS
