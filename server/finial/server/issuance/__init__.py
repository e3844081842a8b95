"""Issuing SVIDs: from who may have what to a signed and recorded document.

Belongs here: the plan of a document (`plan`: lifetimes, pure; `cuts`: those cut short), asking the
signers, recording what they signed before anybody has it (`issuer`), the server's own SVID
(`server_svid`).

Does not belong here: whether the caller may have it (the registry and the API), the shape of the
document and what is never signed (`finial.server.signer`).
"""

from finial.server.issuance.issuer import Issuer
from finial.server.issuance.orders import (
    DownstreamOrder,
    IssuedJwt,
    IssuedWit,
    IssuedX509,
    IssueError,
    IssueErrorKind,
    JwtOrder,
    WitOrder,
    X509Order,
)
from finial.server.issuance.plan import Lifetimes
from finial.server.issuance.server_svid import ServerSvid

__all__ = [
    "DownstreamOrder",
    "IssueError",
    "IssueErrorKind",
    "IssuedJwt",
    "IssuedWit",
    "IssuedX509",
    "Issuer",
    "JwtOrder",
    "Lifetimes",
    "ServerSvid",
    "WitOrder",
    "X509Order",
]
