"""`validate`: is the configuration file any good?"""

from finial.agent.cli.run import DAEMON

COMMAND = DAEMON.validate_command()
