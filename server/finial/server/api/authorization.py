"""Who may call what: the one table, every method of every service of the server.

A caller has one or more kinds; a method names the kinds that it is open to. Nothing else in the
server decides on access, and a method that is missing here is closed to everybody.
"""

from enum import Enum
from typing import Final


class CallerKind(Enum):
    """What a caller may be, in the order in which the gate asks."""

    ANY = "any"
    LOCAL = "local"
    ADMIN = "admin"
    DOWNSTREAM = "downstream"
    AGENT = "agent"


_ANYBODY: Final = frozenset({CallerKind.ANY})
_AGENT: Final = frozenset({CallerKind.AGENT})
_LOCAL: Final = frozenset({CallerKind.LOCAL})
_DOWNSTREAM: Final = frozenset({CallerKind.DOWNSTREAM})
_OPERATOR: Final = frozenset({CallerKind.LOCAL, CallerKind.ADMIN})
_READER: Final = frozenset({CallerKind.LOCAL, CallerKind.ADMIN, CallerKind.AGENT})

_SERVICES: Final[dict[str, dict[str, frozenset[CallerKind]]]] = {
    "spire.api.server.agent.v1.Agent": {
        "CountAgents": _OPERATOR,
        "ListAgents": _OPERATOR,
        "GetAgent": _OPERATOR,
        "DeleteAgent": _OPERATOR,
        "BanAgent": _OPERATOR,
        "AttestAgent": _ANYBODY,
        "RenewAgent": _AGENT,
        "CreateJoinToken": _OPERATOR,
        "PostStatus": _AGENT,
    },
    "spire.api.server.bundle.v1.Bundle": {
        "CountBundles": _OPERATOR,
        "GetBundle": _ANYBODY,
        "AppendBundle": _OPERATOR,
        "PublishJWTAuthority": _DOWNSTREAM,
        "PublishWITAuthority": _DOWNSTREAM,
        "ListFederatedBundles": _OPERATOR,
        "GetFederatedBundle": _READER,
        "BatchCreateFederatedBundle": _OPERATOR,
        "BatchUpdateFederatedBundle": _OPERATOR,
        "BatchSetFederatedBundle": _OPERATOR,
        "BatchDeleteFederatedBundle": _OPERATOR,
    },
    "spire.api.server.entry.v1.Entry": {
        "CountEntries": _OPERATOR,
        "ListEntries": _OPERATOR,
        "GetEntry": _OPERATOR,
        "BatchCreateEntry": _OPERATOR,
        "BatchUpdateEntry": _OPERATOR,
        "BatchDeleteEntry": _OPERATOR,
        "GetAuthorizedEntries": _AGENT,
        "SyncAuthorizedEntries": _AGENT,
    },
    "spire.api.server.localauthority.v1.LocalAuthority": {
        "GetJWTAuthorityState": _OPERATOR,
        "PrepareJWTAuthority": _OPERATOR,
        "ActivateJWTAuthority": _OPERATOR,
        "TaintJWTAuthority": _OPERATOR,
        "RevokeJWTAuthority": _OPERATOR,
        "GetX509AuthorityState": _OPERATOR,
        "PrepareX509Authority": _OPERATOR,
        "ActivateX509Authority": _OPERATOR,
        "TaintX509Authority": _OPERATOR,
        "TaintX509UpstreamAuthority": _OPERATOR,
        "RevokeX509Authority": _OPERATOR,
        "RevokeX509UpstreamAuthority": _OPERATOR,
        "GetWITAuthorityState": _OPERATOR,
        "PrepareWITAuthority": _OPERATOR,
        "ActivateWITAuthority": _OPERATOR,
        "TaintWITAuthority": _OPERATOR,
        "RevokeWITAuthority": _OPERATOR,
    },
    "spire.api.server.svid.v1.SVID": {
        "MintX509SVID": _OPERATOR,
        "MintJWTSVID": _OPERATOR,
        "MintWITSVID": _OPERATOR,
        "BatchNewX509SVID": _AGENT,
        "NewJWTSVID": _AGENT,
        "BatchNewWITSVID": _AGENT,
        "NewDownstreamX509CA": _DOWNSTREAM,
    },
    "spire.api.server.trustdomain.v1.TrustDomain": {
        "ListFederationRelationships": _OPERATOR,
        "GetFederationRelationship": _OPERATOR,
        "BatchCreateFederationRelationship": _OPERATOR,
        "BatchUpdateFederationRelationship": _OPERATOR,
        "BatchDeleteFederationRelationship": _OPERATOR,
        "RefreshBundle": _OPERATOR,
    },
    "spire.api.server.logger.v1.Logger": {
        "GetLogger": _LOCAL,
        "SetLogLevel": _LOCAL,
        "ResetLogLevel": _LOCAL,
    },
    "spire.api.server.debug.v1.Debug": {"GetInfo": _LOCAL},
    "grpc.health.v1.Health": {"Check": _LOCAL, "List": _LOCAL, "Watch": _LOCAL},
}

TABLE: Final[dict[str, frozenset[CallerKind]]] = {
    f"/{service}/{method}": kinds
    for service, methods in _SERVICES.items()
    for method, kinds in methods.items()
}
"""Full method path -> kinds of caller that it is open to."""

NOBODY: Final[frozenset[CallerKind]] = frozenset()


def allowed_kinds(method: str) -> frozenset[CallerKind]:
    """The kinds that may call `method` ("/package.Service/Method"); none for an unknown one."""
    return TABLE.get(method, NOBODY)


def render_markdown() -> str:
    """The table for the documentation: one row a method, one column a kind of caller."""
    kinds = tuple(CallerKind)
    lines = [
        "| Method | " + " | ".join(kind.value for kind in kinds) + " |",
        "|---|" + "---|" * len(kinds),
    ]
    for method, allowed in TABLE.items():
        marks = ("yes" if kind in allowed else "" for kind in kinds)
        lines.append(f"| `{method}` | " + " | ".join(marks) + " |")
    return "\n".join(lines) + "\n"
