"""Every method with every kind of caller: through the real gate, and samples of it over TLS."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.runtime.rpc import StatusError
from finial.server.api.authorization import TABLE, CallerKind
from tests.fakes.ca import FakeCa
from tests.fakes.call import FakeCall
from tests.fakes.callers import SomeCaller, every_caller
from tests.fakes.requests import methods, outcome_of
from tests.fakes.server_api import ApiLab, open_lab

METHODS = methods()
DENIED = grpc.StatusCode.PERMISSION_DENIED
SERVICE = "/spire.api.server"
SAMPLE = (
    f"{SERVICE}.entry.v1.Entry/CountEntries",
    f"{SERVICE}.entry.v1.Entry/GetAuthorizedEntries",
    f"{SERVICE}.bundle.v1.Bundle/GetBundle",
    f"{SERVICE}.bundle.v1.Bundle/PublishJWTAuthority",
    f"{SERVICE}.bundle.v1.Bundle/GetFederatedBundle",
)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ApiLab]:
    async with open_lab(tmp_path) as opened:
        yield opened


def has_right(method: str, caller: SomeCaller) -> bool:
    return bool(TABLE[method] & (caller.kinds | {CallerKind.ANY}))


def verdict(lab: ApiLab, method: str, caller: SomeCaller) -> StatusError | None:
    call = FakeCall(method, caller.seen)
    try:
        lab.api.gate.admit(call)  # type: ignore[arg-type]
    except StatusError as error:
        return error
    lab.api.gate.finished(call, grpc.StatusCode.OK, "", 0.0)  # type: ignore[arg-type]
    return None


def reason_in(error: StatusError) -> int | None:
    if not error.details:
        return None
    (detail,) = error.details
    assert isinstance(detail, PermissionDeniedDetails)
    return detail.reason


async def test_each_method_is_open_to_whom_the_table_says_and_closed_to_all_others(
    lab: ApiLab,
) -> None:
    callers = await every_caller(lab)
    for method in TABLE:
        for name, caller in callers.items():
            error = verdict(lab, method, caller)
            assert (error is None) == has_right(method, caller), (method, name)
            if error is None:
                continue
            assert error.code is DENIED, (method, name)
            assert error.message == f"authorization denied for method {method}"
            wanted = caller.reason if CallerKind.AGENT in TABLE[method] else None
            assert reason_in(error) == wanted, (method, name)


async def test_who_has_a_root_that_is_not_trusted_any_more_is_not_heard(lab: ApiLab) -> None:
    callers = await every_caller(lab)
    foreign = callers["other domain"]
    await lab.bundles.put(FakeCa("other.org").bundle(sequence=2))
    await lab.reader.caught_up()
    for method in TABLE:
        error = verdict(lab, method, foreign)
        if CallerKind.ANY in TABLE[method]:
            assert error is None
        else:
            assert error is not None
            assert error.code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", SAMPLE)
async def test_over_tls_and_the_admin_socket_the_answer_is_the_gates(
    lab: ApiLab, method: str
) -> None:
    callers = await every_caller(lab)
    request = GetMessageClass(METHODS[method].input_type)()
    for name, caller in callers.items():
        error, _ = await outcome_of(caller.channel, METHODS[method], request)
        code = grpc.StatusCode.OK if error is None else error.code()
        if name.startswith("expired"):  # it does not get through the handshake
            assert code is grpc.StatusCode.UNAVAILABLE
        elif has_right(method, caller):
            assert code is not DENIED, name
        else:
            assert code is DENIED, name
            assert error is not None
            assert error.details() == f"authorization denied for method {method}"
