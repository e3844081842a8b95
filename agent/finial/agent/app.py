"""Puts an agent together and runs it.

The socket opens before the server is asked for anything: callers that come early wait a moment,
or are told to come again.
"""

from __future__ import annotations

import logging
import random
from importlib import metadata
from typing import TYPE_CHECKING

from finial.agent.cache.tokens import TokenShelf
from finial.agent.cache.workloads import Workloads
from finial.agent.config import DiskKeyManager
from finial.agent.endpoints.admin import AdminServices
from finial.agent.endpoints.authorization import Socket
from finial.agent.endpoints.callers import CallerAttestor
from finial.agent.endpoints.early import EarlyCallers
from finial.agent.endpoints.gate import AgentGate
from finial.agent.endpoints.health import HealthService
from finial.agent.endpoints.workload import WorkloadApi
from finial.agent.keys import KeyType
from finial.agent.storage import AgentData, DiskKeys, MemoryKeys
from finial.agent.sync.connector import TlsConnector
from finial.agent.sync.engine import SyncEngine
from finial.agent.sync.identity import AgentIdentity
from finial.agent.sync.readiness import Readiness
from finial.agent.sync.server import ServerClient
from finial.agent.sync.trust import Trust, initial_bundle
from finial.api.grpc import health_pb2_grpc
from finial.api.workload import workload_pb2_grpc
from finial.attestors.node import catalog
from finial.attestors.node.interface import AgentHost
from finial.runtime import durable
from finial.runtime.clock import SystemClock
from finial.runtime.health import Health
from finial.runtime.logging import log
from finial.runtime.observe import Observer
from finial.runtime.reflection import add_reflection
from finial.runtime.rpc import Limits, Server
from finial.runtime.tasks import TaskGroup
from finial.spiffe.trust_domain import TrustDomain

if TYPE_CHECKING:
    from pathlib import Path

    from finial.agent.config import AgentConfig
    from finial.agent.storage import KeyStore
    from finial.attestors.node.interface import NodeAttestorAgent
    from finial.runtime.clock import Clock

logger = logging.getLogger(__name__)

PUBLIC_FOLDER_MODE = 0o755
PUBLIC_SOCKET_MODE = 0o777  # who may have what is decided by attestation, not by the file
ADMIN_FOLDER_MODE = 0o750
ADMIN_SOCKET_MODE = 0o770  # as SPIRE has it: for the agent's own user and group

# Workloads keep their streams open for ever: waiting for them to end would only delay a restart.
_DRAIN_GRACE = 0.5


async def run(config: AgentConfig, *, clock: Clock | None = None) -> None:
    """Run an agent until cancelled.

    Raises AgentError when it cannot start or go on, durable.DurableError when its data folder is
    in use or refuses, rpc.SocketInUseError when its socket is.
    """
    folder = config.agent.data_dir
    durable.make_folder(folder)
    with durable.FolderLock(folder):
        await _run(config, clock or SystemClock())


async def _run(config: AgentConfig, clock: Clock) -> None:
    settings = config.agent
    health = Health()
    readiness = Readiness(health.register("sync"))
    workloads = Workloads(
        TrustDomain.parse(str(settings.trust_domain)),
        x509_limit=settings.x509_svid_cache_max_size,
        bundles_for_all=settings.allow_unauthenticated_verifiers,
        with_wits=settings.experimental.wit_enabled,
        delegates=settings.authorized_delegates,
    )
    engine = _engine(config, workloads, readiness, clock)
    observer = Observer(logger)
    callers = _callers(config)
    early = EarlyCallers(workloads, readiness, clock)
    server = Server(
        clock=clock,
        gate=AgentGate(observer, Socket.PUBLIC),
        limits=Limits(drain_grace=_DRAIN_GRACE, connections_per_uid=settings.connections_per_uid),
        name="workload",
    )
    health_pb2_grpc.add_HealthServicer_to_server(HealthService(health), server)
    if not settings.disable_workload_api:
        api = WorkloadApi(
            workloads=workloads,
            callers=callers,
            early=early,
            tokens=engine.tokens,
            clock=clock,
            allowed_foreign_claims=settings.allowed_foreign_jwt_claims,
        )
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(api, server)
    add_reflection(server, server.methods.services)
    durable.make_folder(settings.socket_path.parent, PUBLIC_FOLDER_MODE)
    await server.listen_unix(settings.socket_path, mode=PUBLIC_SOCKET_MODE)
    log(logger, logging.INFO, "serving the Workload API", socket=str(settings.socket_path))
    async with TaskGroup() as behind:
        behind.start("sync", engine.run())
        # Sockets drain before what answers their calls is stopped.
        async with TaskGroup() as front:
            if settings.admin_socket_path is not None:
                services = AdminServices(workloads, callers, early, engine, readiness)
                admin = await _admin_server(settings.admin_socket_path, services, observer, clock)
                front.start("admin socket", admin.serve())
            await server.serve()


async def _admin_server(
    path: Path, services: AdminServices, observer: Observer, clock: Clock
) -> Server:
    limits = Limits(drain_grace=_DRAIN_GRACE)
    gate = AgentGate(observer, Socket.ADMIN)
    server = Server(clock=clock, gate=gate, limits=limits, name="admin")
    services.add_to(server, observer, clock)
    durable.make_folder(path.parent, ADMIN_FOLDER_MODE)
    await server.listen_unix(path, mode=ADMIN_SOCKET_MODE)
    log(logger, logging.INFO, "serving the admin APIs", socket=str(path))
    return server


def _engine(
    config: AgentConfig, workloads: Workloads, readiness: Readiness, clock: Clock
) -> SyncEngine:
    settings = config.agent
    rng = random.SystemRandom()
    trust_domain = workloads.trust_domain
    data = AgentData(settings.data_dir)
    bundle = initial_bundle(
        trust_domain,
        data,
        settings.trust_bundle_path,
        form=settings.trust_bundle_format,
        insecure=settings.insecure_bootstrap,
    )
    trust = Trust(trust_domain, bundle, data)
    connector = TlsConnector(
        _target(settings.server_address, settings.server_port),
        trust=trust,
        identity=lambda: identity.tls,
        clock=clock,
        interval=settings.experimental.sync_interval,
    )
    client = ServerClient(connector)
    identity = AgentIdentity(
        trust_domain=trust_domain,
        attestor=_node_attestor(config, trust_domain),
        client=client,
        trust=trust,
        data=data,
        key_store=_key_store(config),
        clock=clock,
        rng=rng,
        unreachable=readiness.unreachable,
        serving_until=workloads.last_expiry,
    )
    identity.load()
    return SyncEngine(
        workloads=workloads,
        shelf=TokenShelf(settings.jwt_svid_cache_max_size),
        client=client,
        identity=identity,
        trust=trust,
        readiness=readiness,
        clock=clock,
        rng=rng,
        key_type=KeyType(settings.workload_x509_svid_key_type),
        interval=settings.experimental.sync_interval,
        version=version(),
    )


def _node_attestor(config: AgentConfig, trust_domain: TrustDomain) -> NodeAttestorAgent:
    token = config.join_token.reveal() if config.join_token else ""
    host = AgentHost(trust_domain, token)
    return catalog.node_attestor_agent(config.node_attestor, host, config.node_attestor_settings)


def _callers(config: AgentConfig) -> CallerAttestor:
    return CallerAttestor(
        [
            catalog.workload_attestor(name, settings)
            for name, settings in config.workload_attestors.items()
        ]
    )


def version() -> str:
    """Return the version of the installed package, as the server is told it."""
    try:
        return f"finial-{metadata.version('finial')}"
    except metadata.PackageNotFoundError:
        return "finial"


def _key_store(config: AgentConfig) -> KeyStore:
    if isinstance(config.key_manager, DiskKeyManager):
        return DiskKeys(config.key_manager.directory)
    return MemoryKeys()


def _target(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
