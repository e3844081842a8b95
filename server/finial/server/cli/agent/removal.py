"""`agent ban` keeps the record and refuses the agent; `agent evict` drops the record."""

from google.protobuf.empty_pb2 import Empty

from finial.api.spire.server.agent_pb2 import BanAgentRequest, DeleteAgentRequest
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.runtime.cli.client import TIMEOUT, Call
from finial.server.cli.admin import admin_command
from finial.server.cli.agent.wanted import AGENT_FLAG, wanted_agent


async def ban(call: Call) -> None:
    request = BanAgentRequest(id=wanted_agent(call))
    await AgentStub(call.channel).BanAgent(request, timeout=TIMEOUT)
    call.answer(Empty(), lambda console: console.show("Agent banned successfully"))


async def evict(call: Call) -> None:
    request = DeleteAgentRequest(id=wanted_agent(call))
    await AgentStub(call.channel).DeleteAgent(request, timeout=TIMEOUT)
    call.answer(Empty(), lambda console: console.show("Agent evicted successfully"))


BAN = admin_command("agent ban", ban, AGENT_FLAG)
EVICT = admin_command("agent evict", evict, AGENT_FLAG)
