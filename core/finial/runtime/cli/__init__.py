"""The command line that all programs share, in the manner of Go's and therefore of SPIRE's.

Here: flags as tables and their parser, dispatch to commands that are imported when chosen, the
call to a socket, failures as text and exit code, JSON and plain output. Not here: any command,
nor what an entry or an agent looks like (the sides' own `cli`). Nothing here imports pydantic or
a database: a script that asks the server ten times pays for ten starts.
"""
