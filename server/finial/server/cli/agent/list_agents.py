"""`agent list`."""

from collections.abc import Sequence

from finial.api.spire.server.agent_pb2 import ListAgentsRequest, ListAgentsResponse
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.types_pb2 import Agent
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.console import Console
from finial.runtime.cli.output import counted
from finial.server.cli.admin import admin_command
from finial.server.cli.agent.blocks import agent_block
from finial.server.cli.agent.filters import FILTER_FLAGS, agent_filter

PAGE = 1000


async def list_agents(call: Call) -> None:
    stub = AgentStub(call.channel)
    wanted = agent_filter(call.values)
    answer = ListAgentsResponse()
    token = ""
    while True:
        request = ListAgentsRequest(filter=wanted, page_size=PAGE, page_token=token)
        page = await stub.ListAgents(request, timeout=TIMEOUT)
        answer.agents.extend(page.agents)
        token = page.next_page_token
        if not token:
            break
    call.answer(answer, lambda console: _print(console, answer.agents))


def _print(console: Console, agents: Sequence[Agent]) -> None:
    if not agents:
        console.show("No attested agents found")
        return
    console.show(f"Found {counted(len(agents), 'attested agent', 'attested agents')}:\n")
    for agent in agents:
        console.show(agent_block(agent), end="")


COMMAND = admin_command("agent list", list_agents, *FILTER_FLAGS)
