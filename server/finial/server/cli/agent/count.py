"""`agent count`."""

from finial.api.spire.server.agent_pb2 import CountAgentsRequest
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.output import counted
from finial.server.cli.admin import admin_command
from finial.server.cli.agent.filters import FILTER_FLAGS, agent_filter


async def count(call: Call) -> None:
    # The two requests have filters of two types with the same fields and numbers.
    wanted = CountAgentsRequest.Filter.FromString(agent_filter(call.values).SerializeToString())
    request = CountAgentsRequest(filter=wanted)
    answer = await AgentStub(call.channel).CountAgents(request, timeout=TIMEOUT)
    text = counted(answer.count, "attested agent", "attested agents")
    call.answer(answer, lambda console: console.show(text))


COMMAND = admin_command("agent count", count, *FILTER_FLAGS)
