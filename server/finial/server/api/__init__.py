"""The server's gRPC services: the front door.

Here belongs what turns a call into the domain's words and an outcome back into the wire's: the
table of who may call what, the gate that enforces it, one module a service, the conversions, the
rate limits. What an entry is, how a certificate is made, and how rows are kept belongs elsewhere;
nothing here decides on trust but the gate.
"""
