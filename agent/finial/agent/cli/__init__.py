"""The `finial-agent` program: SPIRE's commands, flags, outputs and exit codes.

Here: one module a command, with its flags, its calls and what it prints. Not here: anything that
loads the agent itself; only `run` and `validate` do that.
"""
