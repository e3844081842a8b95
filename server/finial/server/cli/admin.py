"""What all commands share that call the server's admin socket."""

from finial.runtime.cli.client import OUTPUT, Handler, client_command
from finial.runtime.cli.command import Command
from finial.runtime.cli.flags import Flag
from finial.runtime.cli.sockets import Socket

TEMPLATE = "SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE"
ADMIN_SOCKET = Socket(
    default="/tmp/spire-server/private/api.sock",  # noqa: S108 - where SPIRE's clients look
    variable="SPIRE_SERVER_PRIVATE_SOCKET",
    template=TEMPLATE,
    undefined=f"you must define {TEMPLATE} to use the instance flag",
    start="finial-server run",
)
SOCKET_FLAGS = ADMIN_SOCKET.flags("server's admin API")


def admin_command(name: str, handler: Handler, *flags: Flag) -> Command:
    """A command that calls the server: its own flags, the socket's, and -output."""
    return client_command(name, ADMIN_SOCKET, handler, flags=(*flags, *SOCKET_FLAGS, OUTPUT))
