"""The datastore: what the server knows, kept so that it survives a power cut.

Here belong the schema, its migrations, the connection to a database and small stores over it, one
module a noun. They take and return the values of `finial.server.registry.model`; statements are
SQLAlchemy Core and know no particular database. Rules of the domain (what an entry may hold, who
is authorised for what) belong in `finial.server.registry`; so do the indexes in memory.
"""
