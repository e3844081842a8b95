"""What the agent serves: the Workload API and health to workloads, the admin socket to delegates.

Here belong servicers, who the caller is, and the gate every call passes. Not here: what a caller
is entitled to (`finial.agent.cache`) and how it is fetched (`finial.agent.sync`).
"""
