"""The Debug service of the admin socket: a look at the running agent."""

# The wire names the methods and hands each a context.
# ruff: noqa: N802, ARG002

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc

from finial.api.spire import types_pb2 as types
from finial.api.spire.agent import debug_pb2 as pb
from finial.api.spire.agent.debug_pb2_grpc import DebugServicer
from finial.runtime.rpc import StatusError
from finial.runtime.shown_chain import shown_chain
from finial.spiffe.bundle import BundleSet
from finial.spiffe.errors import SpiffeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.agent.sync.identity import AgentIdentity
    from finial.agent.sync.trust import Trust
    from finial.runtime.clock import Clock
    from finial.runtime.shown_chain import ShownCertificate

_KEPT: Final = 5.0
"""Seconds for which an answer is given again."""


class Counts(NamedTuple):
    """What the agent holds; `last_sync` is in Unix seconds, 0 before the first."""

    x509_svids: int
    jwt_svids: int
    last_sync: float


class DebugService(DebugServicer):
    """For whoever may open the admin socket."""

    def __init__(
        self,
        *,
        clock: Clock,
        identity: AgentIdentity,
        trust: Trust,
        counts: Callable[[], Counts],
    ) -> None:
        self._clock = clock
        self._identity = identity
        self._trust = trust
        self._counts = counts
        self._started = clock.monotonic()
        self._known: tuple[float, pb.GetInfoResponse] | None = None

    def GetInfo(self, request: pb.GetInfoRequest, context: Any) -> pb.GetInfoResponse:
        now = self._clock.monotonic()
        if self._known is not None and now - self._known[0] < _KEPT:
            return self._known[1]
        counts = self._counts()
        response = pb.GetInfoResponse(
            svid_chain=[_certificate(shown) for shown in self._chain()],
            uptime=int(now - self._started),
            svids_count=counts.x509_svids,
            last_sync_success=int(counts.last_sync),
            cached_x509_svids_count=counts.x509_svids,
            cached_jwt_svids_count=counts.jwt_svids,
        )
        self._known = (now, response)
        return response

    def _chain(self) -> list[ShownCertificate]:
        svid = self._identity.svid
        if svid is None:
            raise StatusError(grpc.StatusCode.UNAVAILABLE, "agent has no SVID")
        trusted = BundleSet(self._trust.bundles)
        try:
            return shown_chain(svid.chain, trusted, self._clock.time())
        except SpiffeError as error:
            text = f"failed to verify agent SVID: {error}"
            raise StatusError(grpc.StatusCode.INTERNAL, text) from None


def _certificate(shown: ShownCertificate) -> pb.GetInfoResponse.Cert:
    return pb.GetInfoResponse.Cert(
        id=None
        if shown.id is None
        else types.SPIFFEID(trust_domain=shown.id.trust_domain.name, path=shown.id.path),
        expires_at=shown.expires_at,
        subject=shown.subject,
    )
