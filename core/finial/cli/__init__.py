"""The `finial` program: hands over to the server's and the agent's commands, and starts both.

Here: dispatch by entry points, and `up`, which runs the programs as processes and speaks to their
sockets. Not here: the server or the agent themselves; neither side is imported.
"""
