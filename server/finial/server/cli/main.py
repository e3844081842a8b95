"""Entry point and table of commands."""

import sys
from collections.abc import Sequence

from finial.runtime.cli.program import Listed, Program

HERE = "finial.server.cli"
COMMANDS = (
    Listed("run", "Run the server", f"{HERE}.run:COMMAND"),
    Listed("validate", "Check a configuration file", f"{HERE}.validate:COMMAND"),
    Listed("healthcheck", "Ask a running server whether it is well", f"{HERE}.healthcheck:COMMAND"),
    Listed("token generate", "Make a join token", f"{HERE}.token_generate:COMMAND"),
    Listed("entry create", "Create registration entries", f"{HERE}.entry.create:COMMAND"),
    Listed("entry update", "Replace registration entries", f"{HERE}.entry.update:COMMAND"),
    Listed("entry delete", "Delete registration entries", f"{HERE}.entry.delete:COMMAND"),
    Listed("entry show", "Show registration entries", f"{HERE}.entry.show:COMMAND"),
    Listed("entry count", "Count registration entries", f"{HERE}.entry.count:COMMAND"),
    Listed("agent list", "List attested agents", f"{HERE}.agent.list_agents:COMMAND"),
    Listed("agent show", "Show one attested agent", f"{HERE}.agent.show:COMMAND"),
    Listed("agent count", "Count attested agents", f"{HERE}.agent.count:COMMAND"),
    Listed("agent ban", "Refuse an agent until it is evicted", f"{HERE}.agent.removal:BAN"),
    Listed("agent evict", "Forget an agent; it may attest again", f"{HERE}.agent.removal:EVICT"),
    Listed("bundle show", "Print the server's own bundle", f"{HERE}.bundle_show:COMMAND"),
    Listed("x509 mint", "Mint an X509-SVID with a fresh key", f"{HERE}.x509_mint:COMMAND"),
    Listed("jwt mint", "Mint a JWT-SVID", f"{HERE}.jwt_mint:COMMAND"),
    Listed("wit mint", "Mint a WIT-SVID with a fresh key", f"{HERE}.wit_mint:COMMAND"),
    Listed("logger get", "Show the log level", f"{HERE}.logger:GET"),
    Listed("logger set", "Change the log level until restart", f"{HERE}.logger:SET"),
    Listed("logger reset", "Return to the log level of the start", f"{HERE}.logger:RESET"),
    Listed("debug getinfo", "Show the server's state", f"{HERE}.debug_getinfo:COMMAND"),
)
PROGRAM = Program("finial-server", COMMANDS)


def main(arguments: Sequence[str] | None = None, name: str = PROGRAM.name) -> int:
    """Run one invocation; `name` is how the usage calls the program."""
    return PROGRAM.named(name).main(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
