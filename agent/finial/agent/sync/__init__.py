"""Keeping the agent's cache current with the server.

Here belong the client of the server's APIs, the agent's own identity (attestation, renewal), the
poll loop, the ordering of SVIDs, and what the agent does when the server refuses it. Not here:
what the cache makes of it (`finial.agent.cache`), or when an SVID is due (`finial.agent.rotation`).
"""
