"""`healthcheck`: is the agent well?"""

from finial.agent.cli.workload import SOCKET_FLAGS, WORKLOAD_SOCKET
from finial.runtime.cli.client import client_command
from finial.runtime.cli.flags import boolean
from finial.runtime.cli.healthcheck import health_handler

COMMAND = client_command(
    "healthcheck",
    WORKLOAD_SOCKET,
    health_handler("agent", healthy="Agent is healthy.", unhealthy="Agent is unhealthy"),
    flags=(
        boolean("shallow", "Accepted for SPIRE's sake, without effect"),
        boolean("verbose", "Say more"),
        *SOCKET_FLAGS,
    ),
    failure_prefix="",
)
