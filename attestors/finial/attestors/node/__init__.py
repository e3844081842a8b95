"""Node attestation: one folder per mechanism, its two halves beside the evidence they share.

`interface` holds the Protocols, `catalog` finds the halves by entry point. A half knows its
mechanism only; sockets, retries and records are its caller's.
"""
