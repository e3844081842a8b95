"""Puts the services together and registers them where SPIRE has them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finial.api.grpc.health_pb2_grpc import add_HealthServicer_to_server
from finial.api.spire.server.agent_pb2_grpc import add_AgentServicer_to_server
from finial.api.spire.server.bundle_pb2_grpc import add_BundleServicer_to_server
from finial.api.spire.server.debug_pb2_grpc import add_DebugServicer_to_server
from finial.api.spire.server.entry_pb2_grpc import add_EntryServicer_to_server
from finial.api.spire.server.localauthority_pb2_grpc import add_LocalAuthorityServicer_to_server
from finial.api.spire.server.logger_pb2_grpc import add_LoggerServicer_to_server
from finial.api.spire.server.svid_pb2_grpc import add_SVIDServicer_to_server
from finial.api.spire.server.trustdomain_pb2_grpc import add_TrustDomainServicer_to_server
from finial.attestors.node.interface import NodeAttestorServer
from finial.runtime.clock import Clock
from finial.runtime.health import Health
from finial.runtime.observe import Observer
from finial.runtime.rpc import Server
from finial.server.api.agent_service import AgentService
from finial.server.api.attestation import Attestation
from finial.server.api.bundle_service import BundleService
from finial.server.api.debug_service import DebugService
from finial.server.api.entry_service import EntryService
from finial.server.api.entry_sync import EntrySync
from finial.server.api.gate import Gate
from finial.server.api.handlers import GuardedServer
from finial.server.api.health_service import HealthService
from finial.server.api.issuing import Issues
from finial.server.api.join_tokens import JoinTokens
from finial.server.api.localauthority_service import LocalAuthorities, LocalAuthorityService
from finial.server.api.logger_service import LoggerService
from finial.server.api.promotion import Promotion
from finial.server.api.ratelimit import RateLimits, RateLimitSettings
from finial.server.api.settled import Settled
from finial.server.api.short_lives import ShortLives
from finial.server.api.svid_service import SvidService
from finial.server.api.trustdomain_service import Refreshes, TrustDomainService
from finial.server.datastore.agents import AgentStore
from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.federated_bundles import FederatedBundles
from finial.server.datastore.relationships import RelationshipStore
from finial.server.datastore.tokens import TokenStore
from finial.server.issuance import Lifetimes
from finial.server.registry.feed import FeedReader
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the services stand on."""

    trust_domain: TrustDomain
    clock: Clock
    observer: Observer
    health: Health
    reader: FeedReader
    entries: EntryStore
    agents: AgentStore
    tokens: TokenStore
    bundles: BundleStore
    federated: FederatedBundles
    relationships: RelationshipStore
    refresher: Refreshes
    authorities: LocalAuthorities
    issuer: Issues
    lifetimes: Lifetimes
    attestors: Mapping[str, NodeAttestorServer]
    server_chain: Callable[[], Sequence[bytes]]
    limits: RateLimitSettings
    admin_ids: frozenset[SpiffeId] = frozenset()
    downstream_enabled: bool = True
    jwt_enabled: bool = True
    wit_enabled: bool = False
    agreed: Settled | None = None
    """Returns when the indexes show what other servers have committed; None if there are none."""


class Api:
    """The gate and every service behind it."""

    def __init__(self, parts: Parts) -> None:
        reader = parts.reader
        self._agreed = parts.agreed
        self.gate = Gate(
            clock=parts.clock,
            observer=parts.observer,
            entries=reader.entries,
            agents=reader.agents,
            bundles=reader.bundles,
            admin_ids=parts.admin_ids,
            doubts=parts.agreed is not None,
        )
        reader.subscribe(self.gate.review)
        self.promotion = Promotion(parts.agents, reader.caught_up, self.gate, parts.agreed)
        self.limits = limits = RateLimits(parts.clock, parts.limits, self.gate.check_again)
        self._agent = _agent_service(parts, limits)
        self._entry = EntryService(
            trust_domain=parts.trust_domain,
            store=parts.entries,
            index=reader.entries,
            settled=reader.caught_up,
            sync=EntrySync(reader.entries, self.gate.check_again),
            observer=parts.observer,
            short_lives=ShortLives(parts.lifetimes),
        )
        self._bundle = BundleService(
            own=parts.trust_domain,
            bundles=reader.bundles,
            store=parts.bundles,
            federated=parts.federated,
            settled=reader.caught_up,
            limits=limits,
            observer=parts.observer,
            wit_enabled=parts.wit_enabled,
        )
        self._trustdomain = TrustDomainService(
            own=parts.trust_domain,
            store=parts.relationships,
            refresher=parts.refresher,
            settled=reader.caught_up,
            observer=parts.observer,
        )
        self._svid = SvidService(
            trust_domain=parts.trust_domain,
            issuer=parts.issuer,
            index=reader.entries,
            bundles=reader.bundles,
            limits=limits,
            check_again=self.gate.check_again,
            downstream_enabled=parts.downstream_enabled,
            jwt_enabled=parts.jwt_enabled,
            wit_enabled=parts.wit_enabled,
        )
        self._localauthority = LocalAuthorityService(
            authorities=parts.authorities,
            jwt_enabled=parts.jwt_enabled,
            wit_enabled=parts.wit_enabled,
        )
        self._logger = LoggerService(parts.observer)
        self._health = HealthService(parts.health)
        self._debug = DebugService(
            clock=parts.clock,
            server_chain=parts.server_chain,
            bundles=reader.bundles,
            counts=lambda: (len(reader.agents), len(reader.entries), len(reader.bundles)),
        )

    def serve_on(self, server: Server, *, local: bool) -> None:
        """Registers the services; those about the process itself for local callers only."""
        guarded: Any = GuardedServer(server, self.promotion, self._agreed)
        add_AgentServicer_to_server(self._agent, guarded)
        add_BundleServicer_to_server(self._bundle, guarded)
        add_EntryServicer_to_server(self._entry, guarded)
        add_LocalAuthorityServicer_to_server(self._localauthority, guarded)
        add_SVIDServicer_to_server(self._svid, guarded)
        add_TrustDomainServicer_to_server(self._trustdomain, guarded)
        if local:
            add_LoggerServicer_to_server(self._logger, guarded)
            add_DebugServicer_to_server(self._debug, guarded)
            add_HealthServicer_to_server(self._health, guarded)


def _agent_service(parts: Parts, limits: RateLimits) -> AgentService:
    reader = parts.reader
    attestation = Attestation(
        trust_domain=parts.trust_domain,
        attestors=parts.attestors,
        issuer=parts.issuer,
        store=parts.agents,
        index=reader.agents,
        settled=reader.caught_up,
        limits=limits,
        observer=parts.observer,
    )
    tokens = JoinTokens(
        trust_domain=parts.trust_domain,
        clock=parts.clock,
        tokens=parts.tokens,
        settled=reader.caught_up,
        observer=parts.observer,
    )
    return AgentService(
        trust_domain=parts.trust_domain,
        store=parts.agents,
        index=reader.agents,
        settled=reader.caught_up,
        tokens=tokens,
        attestation=attestation,
        observer=parts.observer,
    )
