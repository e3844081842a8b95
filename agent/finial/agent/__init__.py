"""The agent: attests its node, keeps the node's identities fresh, serves them to workloads.

`cache` is what it knows (pure), `sync` keeps that current with the server, `endpoints` serve it,
`storage` is what survives a restart, `app` puts them together. Nothing here imports the server.
"""
