"""What the admin socket serves: delegated identities, a look at the agent, its log level."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from finial.agent.endpoints.debug import Counts, DebugService
from finial.agent.endpoints.delegated_identity import DelegatedIdentityService
from finial.agent.endpoints.logger import LoggerService
from finial.api.spire.agent.debug_pb2_grpc import add_DebugServicer_to_server
from finial.api.spire.agent.delegatedidentity_pb2_grpc import (
    add_DelegatedIdentityServicer_to_server,
)
from finial.api.spire.agent.logger_pb2_grpc import add_LoggerServicer_to_server

if TYPE_CHECKING:
    from finial.agent.cache.workloads import Workloads
    from finial.agent.endpoints.callers import CallerAttestor
    from finial.agent.endpoints.early import EarlyCallers
    from finial.agent.sync.engine import SyncEngine
    from finial.agent.sync.readiness import Readiness
    from finial.runtime.clock import Clock
    from finial.runtime.observe import Observer
    from finial.runtime.rpc import Server


class AdminServices(NamedTuple):
    """What the services stand on."""

    workloads: Workloads
    callers: CallerAttestor
    early: EarlyCallers
    engine: SyncEngine
    readiness: Readiness

    def add_to(self, server: Server, observer: Observer, clock: Clock) -> None:
        """Register the services, where SPIRE has them."""
        delegated = DelegatedIdentityService(
            workloads=self.workloads,
            callers=self.callers,
            early=self.early,
            tokens=self.engine.tokens,
            clock=clock,
        )
        add_DelegatedIdentityServicer_to_server(delegated, server)
        engine = self.engine
        debug = DebugService(
            clock=clock, identity=engine.identity, trust=engine.trust, counts=self._counts
        )
        add_DebugServicer_to_server(debug, server)
        add_LoggerServicer_to_server(LoggerService(observer), server)

    def _counts(self) -> Counts:
        return Counts(self.workloads.svid_count(), len(self.engine.shelf), self.readiness.last_sync)
