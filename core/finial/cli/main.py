"""Entry point and table of commands."""

import sys
from collections.abc import Sequence

from finial.runtime.cli.program import Listed, Program

COMMANDS = (
    Listed("up", "Start a server, an agent and an identity for you", "finial.cli.up:COMMAND"),
    Listed("server", "The server and its commands", "finial.cli.sides:SERVER"),
    Listed("agent", "The agent and its commands", "finial.cli.sides:AGENT"),
)
PROGRAM = Program("finial", COMMANDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one invocation."""
    return PROGRAM.main(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
