"""The agent that a command is about."""

from finial.api.spire.types_pb2 import SPIFFEID
from finial.runtime.cli.client import Call
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import text
from finial.server.cli.arguments import spiffe_id

AGENT_FLAG = text("spiffeID", "The agent's own SPIFFE ID")


def wanted_agent(call: Call) -> SPIFFEID:
    """The agent's ID; raises FailureError when it is missing or malformed."""
    uri = call.values.text("spiffeID")
    if not uri:
        raise FailureError("a SPIFFE ID is required")
    return spiffe_id(uri)
