"""`validate`: is the configuration file any good?"""

from finial.server.cli.run import DAEMON

COMMAND = DAEMON.validate_command()
