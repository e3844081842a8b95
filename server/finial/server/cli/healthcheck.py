"""`healthcheck`: is the server well?"""

from finial.runtime.cli.client import client_command
from finial.runtime.cli.flags import boolean
from finial.runtime.cli.healthcheck import health_handler
from finial.server.cli.admin import ADMIN_SOCKET, SOCKET_FLAGS

COMMAND = client_command(
    "healthcheck",
    ADMIN_SOCKET,
    health_handler("server", healthy="Server is healthy.", unhealthy="server is unhealthy"),
    flags=(
        boolean("shallow", "Accepted for SPIRE's sake, without effect"),
        boolean("verbose", "Say more"),
        *SOCKET_FLAGS,
    ),
)
