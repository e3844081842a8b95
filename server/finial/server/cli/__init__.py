"""The `finial-server` program: SPIRE's commands, flags, outputs and exit codes.

Here: one module a command, with its flags, its calls and what it prints. Not here: rules that the
API checks anyway, and anything that loads the server itself; only `run` and `validate` do that.
"""
