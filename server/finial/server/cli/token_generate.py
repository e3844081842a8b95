"""`token generate`: a join token for one agent."""

from finial.api.spire.server.agent_pb2 import CreateJoinTokenRequest
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.console import Console
from finial.runtime.cli.flags import integer, text
from finial.server.cli.admin import admin_command
from finial.server.cli.arguments import int32, spiffe_id

DEFAULT_TTL = 600


async def generate(call: Call) -> None:
    uri = call.values.text("spiffeID")
    request = CreateJoinTokenRequest(
        agent_id=spiffe_id(uri) if uri else None, ttl=int32(call.values.integer("ttl"), "TTL")
    )
    token = await AgentStub(call.channel).CreateJoinToken(request, timeout=TIMEOUT)

    def pretty(console: Console) -> None:
        console.show(f"Token: {token.value}")
        if not uri:
            console.show("Warning: Missing SPIFFE ID.")

    call.answer(token, pretty)


COMMAND = admin_command(
    "token generate",
    generate,
    text("spiffeID", "A further SPIFFE ID for the agent that uses the token, as parent of entries"),
    integer("ttl", "Seconds until the token can no longer be used", DEFAULT_TTL),
)
