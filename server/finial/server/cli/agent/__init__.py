"""The `agent` commands: attested agents, as the server knows them."""
