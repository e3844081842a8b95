"""`agent show`."""

from finial.api.spire.server.agent_pb2 import GetAgentRequest
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.runtime.cli.client import TIMEOUT, Call
from finial.server.cli.admin import admin_command
from finial.server.cli.agent.blocks import agent_block, selector_lines
from finial.server.cli.agent.wanted import AGENT_FLAG, wanted_agent


async def show(call: Call) -> None:
    request = GetAgentRequest(id=wanted_agent(call))
    agent = await AgentStub(call.channel).GetAgent(request, timeout=TIMEOUT)
    text = f"Found an attested agent given its SPIFFE ID\n\n{agent_block(agent)}"
    call.answer(agent, lambda console: console.show(text + selector_lines(agent), end=""))


COMMAND = admin_command("agent show", show, AGENT_FLAG)
