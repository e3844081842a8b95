"""Join token attestation: a secret made by the server, good for exactly one agent.

`evidence` is what both halves agree on; `agent` presents the token, `server` spends it.
"""
