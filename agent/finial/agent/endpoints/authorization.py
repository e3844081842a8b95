"""Who may call what on the agent's sockets: the one table, every method of every service.

A method that is missing here is closed to everybody. What the table cannot know, because it takes
an attestation, the service of the method finds out: what a workload may have (`workload.py`), and
whether a caller is a delegate (`delegates.py`).
"""

from enum import Enum
from typing import Final


class Socket(Enum):
    """Where a call came in; each socket serves its own methods only."""

    PUBLIC = "public"
    ADMIN = "admin"


class CallerKind(Enum):
    """What a caller has to be."""

    ANY = "any"
    """Whoever can open the socket."""
    WORKLOAD = "workload"
    """One that sets the security header; it has what its attested identities give it."""
    DELEGATE = "delegate"
    """One of whose attested identities is among `authorized_delegates`."""


_WORKLOAD: Final = "/SpiffeWorkloadAPI/"
_DELEGATED: Final = "/spire.api.agent.delegatedidentity.v1.DelegatedIdentity/"
_LOGGER: Final = "/spire.api.agent.logger.v1.Logger/"
_HEALTH: Final = "/grpc.health.v1.Health/"

TABLE: Final[dict[Socket, dict[str, CallerKind]]] = {
    Socket.PUBLIC: {
        f"{_WORKLOAD}FetchX509SVID": CallerKind.WORKLOAD,
        f"{_WORKLOAD}FetchX509Bundles": CallerKind.WORKLOAD,
        f"{_WORKLOAD}FetchJWTSVID": CallerKind.WORKLOAD,
        f"{_WORKLOAD}FetchJWTBundles": CallerKind.WORKLOAD,
        f"{_WORKLOAD}ValidateJWTSVID": CallerKind.WORKLOAD,
        f"{_WORKLOAD}FetchWITSVID": CallerKind.WORKLOAD,
        f"{_WORKLOAD}FetchWITBundles": CallerKind.WORKLOAD,
        f"{_HEALTH}Check": CallerKind.ANY,
        f"{_HEALTH}List": CallerKind.ANY,
        f"{_HEALTH}Watch": CallerKind.ANY,
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": CallerKind.ANY,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": CallerKind.ANY,
    },
    Socket.ADMIN: {
        f"{_DELEGATED}SubscribeToX509SVIDs": CallerKind.DELEGATE,
        f"{_DELEGATED}SubscribeToX509Bundles": CallerKind.DELEGATE,
        f"{_DELEGATED}FetchJWTSVIDs": CallerKind.DELEGATE,
        f"{_DELEGATED}SubscribeToJWTBundles": CallerKind.DELEGATE,
        "/spire.agent.debug.v1.Debug/GetInfo": CallerKind.ANY,
        f"{_LOGGER}GetLogger": CallerKind.ANY,
        f"{_LOGGER}SetLogLevel": CallerKind.ANY,
        f"{_LOGGER}ResetLogLevel": CallerKind.ANY,
    },
}
"""Socket -> full method path -> what its caller has to be."""


def required_kind(socket: Socket, method: str) -> CallerKind | None:
    """What a caller of `method` ("/package.Service/Method") has to be; None: nobody may call it."""
    return TABLE[socket].get(method)
