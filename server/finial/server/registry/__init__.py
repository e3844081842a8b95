"""The registry: entries, agents and tokens as the server thinks of them.

Here belong the domain's values, their rules, and the in-memory indexes that answer from them
together with the reader that keeps those current. SQL belongs in `finial.server.datastore`;
protobuf and status codes belong in `finial.server.api`.
"""
