"""What all commands share that call the Workload API."""

from collections.abc import AsyncIterable
from typing import TypeVar

from finial.agent.cli import endpoint
from finial.runtime.cli.client import OUTPUT, Call, Handler, client_command
from finial.runtime.cli.command import Command
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import Flag, duration
from finial.runtime.cli.sockets import Endpoint, Socket

TEMPLATE = "SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE"
WORKLOAD_SOCKET = Socket(
    default="/tmp/spire-agent/public/api.sock",  # noqa: S108 - where SPIRE's clients look
    variable="SPIRE_AGENT_PUBLIC_SOCKET",
    template=TEMPLATE,
    undefined=f"{TEMPLATE} environment variable must be defined when using the instance flag",
    start="finial-agent run",
    endpoint=Endpoint(endpoint.VARIABLE, endpoint.target),
)
SOCKET_FLAGS = WORKLOAD_SOCKET.flags("Workload API")
HEADER = (("workload.spiffe.io", "true"),)
"""SPIFFE Workload Endpoint section 7: shows that the caller is no browser led astray."""
TIMEOUT_FLAG = duration("timeout", "How long to wait for the answer", 5.0)

T = TypeVar("T")


def workload_command(name: str, handler: Handler, *flags: Flag) -> Command:
    """A command that calls the Workload API, with -output and -timeout."""
    return client_command(
        name,
        WORKLOAD_SOCKET,
        handler,
        flags=(*flags, *SOCKET_FLAGS, OUTPUT, TIMEOUT_FLAG),
        failure_prefix="",
    )


def timeout(call: Call) -> float | None:
    """Seconds that the answer may take; 0 or less waits for ever."""
    seconds = call.values.seconds("timeout")
    return seconds if seconds > 0 else None


async def first(stream: AsyncIterable[T]) -> T:
    """The first message of a stream, which is then left; raises FailureError without one."""
    async for message in stream:
        return message
    raise FailureError("the agent ended the stream without an answer")
