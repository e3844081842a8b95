"""`finial up`: a server and an agent on this machine, joined, with an identity for this user.

Here: where its files lie, what the two are told, their processes, the calls that join them, what
is shown. Not here: any knowledge of the two beyond their configuration and their sockets.
"""

from finial.cli.up.command import COMMAND

__all__ = ["COMMAND"]
