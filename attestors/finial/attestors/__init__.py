"""Attestation: how a node proves itself to the server, and how a process is known to the agent.

Here belong selectors, the attestor interfaces, and one folder or module per mechanism.
Not here: what an attested identity is allowed to have (the server's registry), nor the
gRPC exchange that carries the evidence (the server's API and the agent's sync).
"""
