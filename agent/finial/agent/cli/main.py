"""Entry point and table of commands."""

import sys
from collections.abc import Sequence

from finial.runtime.cli.program import Listed, Program

HERE = "finial.agent.cli"
COMMANDS = (
    Listed("run", "Run the agent", f"{HERE}.run:COMMAND"),
    Listed("validate", "Check a configuration file", f"{HERE}.validate:COMMAND"),
    Listed("healthcheck", "Ask a running agent whether it is well", f"{HERE}.healthcheck:COMMAND"),
    Listed("api fetch", "Fetch X509-SVIDs, as `api fetch x509`", f"{HERE}.fetch_x509:COMMAND"),
    Listed("api fetch x509", "Fetch X509-SVIDs as a workload", f"{HERE}.fetch_x509:COMMAND"),
    Listed("api fetch jwt", "Fetch JWT-SVIDs as a workload", f"{HERE}.fetch_jwt:COMMAND"),
    Listed("api validate jwt", "Let the agent check a JWT-SVID", f"{HERE}.validate_jwt:COMMAND"),
    Listed("api watch", "Show X509-SVIDs whenever they change", f"{HERE}.watch:COMMAND"),
)
PROGRAM = Program("finial-agent", COMMANDS)


def main(arguments: Sequence[str] | None = None, name: str = PROGRAM.name) -> int:
    """Run one invocation; `name` is how the usage calls the program."""
    return PROGRAM.named(name).main(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
