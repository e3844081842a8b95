"""Workload attestation: from a process ID to selectors; agent only.

One module per mechanism. Not here: which identities the selectors entitle to (the agent's
cache) and how the process ID was learned (the rpc layer).
"""
