"""What the agent knows: entries, SVIDs, bundles, and who waits for which of them.

Pure: no I/O, no event loop, no gRPC; `now` is an argument. Not here: fetching any of it
(`finial.agent.sync`) and sending it (`finial.agent.endpoints`). All of it belongs to the one
event loop task that is running; nothing here is safe across threads.
"""
