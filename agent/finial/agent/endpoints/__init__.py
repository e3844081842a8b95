"""What the agent serves on its Unix socket: the SPIFFE Workload API and gRPC health.

Here belong servicers, who the caller is, and the gate every call passes. Not here: what a caller
is entitled to (`finial.agent.cache`) and how it is fetched (`finial.agent.sync`).
"""
