"""Logger, Debug and Health: what only the admin socket has."""

import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import grpc
import pytest

from finial.api.grpc import health_pb2
from finial.api.grpc.health_pb2_grpc import HealthStub
from finial.api.spire import types_pb2
from finial.api.spire.server import debug_pb2, logger_pb2
from finial.api.spire.server.debug_pb2_grpc import DebugStub
from finial.api.spire.server.logger_pb2_grpc import LoggerStub
from finial.runtime import logging as finial_logging
from finial.runtime.rpc import RpcError
from finial.server.api.convert import encode_spiffe_id
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.server_api import ADMIN_ID, ApiLab


@pytest.fixture
def _logging() -> Iterator[None]:
    before = logging.getLogger("finial").level
    finial_logging.setup("warn", stream=StringIO())
    yield
    finial_logging.setup("warn", stream=StringIO())
    logging.getLogger("finial").setLevel(before)


@pytest.mark.usefixtures("_logging")
async def test_the_log_level_is_read_set_and_reset(lab: ApiLab) -> None:
    stub = LoggerStub(lab.local)
    launched = types_pb2.Logger(current_level=types_pb2.WARN, launch_level=types_pb2.WARN)
    assert await stub.GetLogger(logger_pb2.GetLoggerRequest()) == launched
    for level in (types_pb2.PANIC, types_pb2.TRACE, types_pb2.DEBUG):
        request = logger_pb2.SetLogLevelRequest(new_level=level)
        assert (await stub.SetLogLevel(request)).current_level == level
    assert logging.getLogger("finial.server").isEnabledFor(logging.DEBUG)
    assert await stub.ResetLogLevel(logger_pb2.ResetLogLevelRequest()) == launched


@pytest.mark.usefixtures("_logging")
@pytest.mark.parametrize(
    ("level", "text"),
    [
        (0, "newLevel value cannot be LogLevel_UNSPECIFIED"),
        (99, "unsupported log level"),
    ],
)
async def test_a_level_that_is_none_is_refused(lab: ApiLab, level: Any, text: str) -> None:
    with pytest.raises(RpcError) as refused:
        await LoggerStub(lab.local).SetLogLevel(logger_pb2.SetLogLevelRequest(new_level=level))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == text


async def test_debug_shows_the_servers_chain_up_to_the_root_and_counts(lab: ApiLab) -> None:
    await lab.attest()
    await lab.clock.advance(7)
    info = await DebugStub(lab.local).GetInfo(debug_pb2.GetInfoRequest())
    leaf, root = info.svid_chain
    assert leaf.id == encode_spiffe_id(SpiffeId("spiffe://example.org/spire/server"))
    assert leaf.subject == "O=SPIRE,C=US"
    assert leaf.expires_at == lab.server_svid.not_after
    assert (root.id.trust_domain, root.id.path) == ("example.org", "")
    assert root.subject == "SERIALNUMBER=example.org root,O=SPIFFE,C=US"
    assert info.uptime == 7
    assert (info.agents_count, info.entries_count, info.federated_bundles_count) == (1, 0, 1)


async def test_debug_answers_the_same_for_five_seconds(lab: ApiLab) -> None:
    stub, request = DebugStub(lab.local), debug_pb2.GetInfoRequest()
    assert (await stub.GetInfo(request)).agents_count == 0
    await lab.attest()
    assert (await stub.GetInfo(request)).agents_count == 0
    await lab.clock.advance(5)
    assert (await stub.GetInfo(request)).agents_count == 1


async def test_debug_says_when_the_server_cannot_prove_itself(lab: ApiLab) -> None:
    await lab.clock.advance(4000)
    with pytest.raises(RpcError, match="failed verification against bundle: ") as refused:
        await DebugStub(lab.local).GetInfo(debug_pb2.GetInfoRequest())
    assert refused.value.code() is grpc.StatusCode.INTERNAL


async def test_health_follows_the_servers_checks(lab: ApiLab) -> None:
    stub, request = HealthStub(lab.local), health_pb2.HealthCheckRequest()
    check = lab.health.register("server")
    assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.NOT_SERVING
    check.ok()
    assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(RpcError, match="per-service health is not supported"):
        await stub.Check(health_pb2.HealthCheckRequest(service="x"))
    with pytest.raises(RpcError) as refused:
        await stub.List(health_pb2.HealthListRequest())
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert refused.value.details() == "method List not implemented"
    with pytest.raises(RpcError, match="method Watch not implemented"):
        await anext(aiter(stub.Watch(request)))


async def test_over_tcp_there_are_no_such_services(lab: ApiLab) -> None:
    channel = lab.connect(lab.ca.issue(ADMIN_ID))
    calls: list[tuple[Any, Any]] = [
        (LoggerStub(channel).GetLogger, logger_pb2.GetLoggerRequest()),
        (DebugStub(channel).GetInfo, debug_pb2.GetInfoRequest()),
        (HealthStub(channel).Check, health_pb2.HealthCheckRequest()),
    ]
    for call, request in calls:
        with pytest.raises(RpcError, match="unknown service") as refused:
            await call(request)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
