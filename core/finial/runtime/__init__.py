"""What any daemon of ours needs, whatever it serves.

Here: time, tasks, durable files, retry pauses, logging, health, the observing seam, reading
configuration, and gRPC (`rpc`). Not here: anything that knows of entries, agents or authorities
(those are the server's and the agent's), nor the standards themselves (`finial.spiffe`).
"""
