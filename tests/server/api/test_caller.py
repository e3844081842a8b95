"""What handlers learn of the agent that calls, and what they do when none does."""

import grpc
import pytest

from finial.runtime.observe import CallInfo
from finial.runtime.rpc import StatusError
from finial.server.api.authorization import CallerKind
from finial.server.api.caller import agent_of, serial_of
from finial.server.api.gate import Identity
from tests.fakes.call import FakeCall
from tests.server.registry.examples import agent

AGENT = agent(serial="11")
INFO = CallInfo("1", "/test/Test", "caller", "agent", "")


def call(identity: object) -> FakeCall:
    return FakeCall("/test/Test", identity=identity)


def test_the_agent_is_the_one_that_the_gate_found() -> None:
    identity = Identity(INFO, CallerKind.AGENT, AGENT)
    assert agent_of(call(identity)) is AGENT  # type: ignore[arg-type]


def test_the_serial_is_the_agents_until_the_call_promotes_another() -> None:
    active = Identity(INFO, CallerKind.AGENT, AGENT)
    renewed = Identity(INFO, CallerKind.AGENT, AGENT, promotes="12")
    assert serial_of(call(active)) == "11"  # type: ignore[arg-type]
    assert serial_of(call(renewed)) == "12"  # type: ignore[arg-type]


class Impostor:
    """Not the gate's finding, though it has an agent."""

    agent = AGENT
    promotes = ""


@pytest.mark.parametrize(
    "identity", [None, Impostor(), Identity(INFO, CallerKind.LOCAL), Identity(INFO, CallerKind.ANY)]
)
def test_a_handler_of_agents_serves_nobody_whom_the_gate_did_not_find_an_agent(
    identity: object,
) -> None:
    for ask in (agent_of, serial_of):
        with pytest.raises(StatusError) as refused:
            ask(call(identity))  # type: ignore[arg-type]
        assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
        assert refused.value.message == "authorization denied for method /test/Test"
