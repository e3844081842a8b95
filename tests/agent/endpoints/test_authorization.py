"""The table of the agent's methods is whole, and nothing is served beside it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from finial.agent.endpoints.authorization import TABLE, CallerKind, Socket, required_kind
from finial.agent.endpoints.gate import AgentGate
from finial.api.grpc import health_pb2, reflection_pb2, reflection_v1alpha_pb2
from finial.api.spire.agent import debug_pb2, delegatedidentity_pb2, logger_pb2
from finial.api.workload import workload_pb2
from finial.runtime.observe import Observer
from finial.runtime.rpc import StatusError
from tests.fakes.call import LOCAL, FakeCall

if TYPE_CHECKING:
    from types import ModuleType

SERVED = {
    Socket.PUBLIC: (workload_pb2, health_pb2, reflection_pb2, reflection_v1alpha_pb2),
    Socket.ADMIN: (delegatedidentity_pb2, debug_pb2, logger_pb2),
}


def methods_of(module: ModuleType) -> set[str]:
    services = module.DESCRIPTOR.services_by_name.values()
    return {f"/{each.full_name}/{method.name}" for each in services for method in each.methods}


class Call(FakeCall):
    """A call on a Unix socket, with metadata."""

    def __init__(self, method: str, *metadata: tuple[str, str]) -> None:
        super().__init__(method, LOCAL)
        self._metadata = metadata

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata


def admitted(socket: Socket, method: str, *metadata: tuple[str, str]) -> grpc.StatusCode:
    gate = AgentGate(Observer(logging.getLogger("finial.test")), socket)
    call: Any = Call(method, *metadata)
    try:
        gate.admit(call)
    except StatusError as error:
        return error.code
    return grpc.StatusCode.OK


@pytest.mark.parametrize("socket", Socket)
def test_each_socket_has_a_row_for_every_method_of_its_services_and_no_other(
    socket: Socket,
) -> None:
    assert set(TABLE[socket]) == set[str]().union(*map(methods_of, SERVED[socket]))


@pytest.mark.parametrize("socket", Socket)
def test_every_method_of_the_other_socket_is_closed(socket: Socket) -> None:
    (other,) = set(Socket) - {socket}
    for method in TABLE[other]:
        header = ("workload.spiffe.io", "true")
        assert admitted(socket, method, header) is grpc.StatusCode.PERMISSION_DENIED


def test_a_method_that_nobody_thought_of_is_closed() -> None:
    assert required_kind(Socket.ADMIN, "/spire.agent.debug.v1.Debug/Stop") is None
    assert admitted(Socket.ADMIN, "/x.Y/Z") is grpc.StatusCode.PERMISSION_DENIED


def test_what_hands_out_keys_needs_a_header_or_a_delegate() -> None:
    for socket, rows in TABLE.items():
        for method, kind in rows.items():
            if kind is CallerKind.ANY:
                assert not any(name in method for name in ("Workload", "Delegated"))
            else:
                wanted = CallerKind.WORKLOAD if socket is Socket.PUBLIC else CallerKind.DELEGATE
                assert kind is wanted
