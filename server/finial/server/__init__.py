"""The Finial server: who may have which identity, and the documents that prove it.

Here belongs what only the server needs: registry, datastore, authorities, issuance, its API.
What an agent or a verifier needs too belongs in `finial.spiffe`, `finial.runtime` or
`finial.attestors`; nothing here is imported by the agent.
"""
