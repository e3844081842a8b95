"""The SPIFFE standards, pure.

Belongs here: SPIFFE IDs, trust domains, X.509-, JWT- and WIT-SVIDs, bundles, the rules of
federation; reading, writing and judging them. Every judgement takes the time as an argument and is
a function of its arguments only.

Does not belong here: sockets, files, clocks, databases, asyncio, gRPC, who may have which identity
(the server's registry) and how a thing is signed (the server's signer).
"""

from finial.spiffe.errors import SpiffeError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

__all__ = ["SpiffeError", "SpiffeId", "TrustDomain"]
