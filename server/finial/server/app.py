"""The server process: what it is made of, in which order it comes up and goes down.

Up: the data folder is locked, signers are exec'd before anything of the network exists, then
database, indexes, authorities, the server's own SVID, and last the sockets. Down: the sockets
drain, then what serves them stops, then the database closes, and the signers go last.
"""

import logging
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from finial.attestors.node.interface import ServerHost
from finial.runtime.clock import Clock, SystemClock
from finial.runtime.durable import DurableError, FolderLock, make_folder
from finial.runtime.health import Health
from finial.runtime.logging import log
from finial.runtime.observe import Observer
from finial.runtime.rpc import Limits, Server, ServerTls
from finial.runtime.tasks import TaskGroup
from finial.server import translation
from finial.server.api.assembly import Api, Parts
from finial.server.authority import AuthorityError, AuthorityManager
from finial.server.authority.journal import JournalError
from finial.server.authority.peers import Peers
from finial.server.config import DiskKeyManager, ServerConfig, ServerSettings
from finial.server.datastore.agents import AgentStore
from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.errors import StoreError
from finial.server.datastore.federated_bundles import FederatedBundles
from finial.server.datastore.feed import FeedStore
from finial.server.datastore.issued import IssuedStore
from finial.server.datastore.journal import JournalStore
from finial.server.datastore.relationships import RelationshipStore
from finial.server.datastore.tokens import TokenStore
from finial.server.federation.addresses import AddressPolicy
from finial.server.federation.fetcher import BundleFetcher
from finial.server.federation.manager import BundleManager
from finial.server.federation.serving import WebEndpoints
from finial.server.issuance import Issuer, ServerSvid
from finial.server.issuance.server_svid import ServerSvidError
from finial.server.own_bundle import PublishedAuthorities
from finial.server.registry.feed import BundleCache, FeedReader
from finial.server.registry.pruning import Pruner
from finial.server.server_id import server_id
from finial.server.signer.errors import SignerError
from finial.server.signer.pool import SignerPool
from finial.spiffe.bundle import Bundle

logger = logging.getLogger(__name__)

CONNECTION_AGE: Final = 180.0
"""Seconds after which agents are asked to reconnect, as SPIRE's server asks."""

FAILURES: Final = (
    AuthorityError,
    DurableError,
    JournalError,
    OSError,
    ServerSvidError,
    SignerError,
    StoreError,
)
"""What `run` raises when the server cannot start or go on; each text says what to do."""

SOCKET_FOLDER_MODE: Final = 0o750

Listening = Callable[[int], None]


async def run(
    config: ServerConfig, *, clock: Clock | None = None, listening: Listening | None = None
) -> None:
    """Serve until cancelled; `listening` is told the TCP port once both sockets accept.

    Raises:
        One of FAILURES: the server cannot start, or not go on; the message says what to do.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as held:
        make_folder(config.server.data_dir)
        held.enter_context(FolderLock(config.server.data_dir))
        if isinstance(config.key_manager, DiskKeyManager):
            make_folder(config.key_manager.keys_path.parent)
        signers = SignerPool(translation.signer_settings(config), clock=clock)
        held.push_async_callback(signers.close)
        await signers.start()
        database = await Database.open(translation.database(config), clock)
        held.push_async_callback(database.close)
        await _run(config, clock, signers, database, listening)


async def _run(
    config: ServerConfig,
    clock: Clock,
    signers: SignerPool,
    database: Database,
    listening: Listening | None,
) -> None:
    settings, own = config.server, config.server.trust_domain
    observer = Observer(logging.getLogger("finial.server"), audit=settings.audit_log_enabled)
    health = Health()
    feed = FeedStore(database)
    reader = FeedReader(feed, clock)
    entries, agents, tokens = EntryStore(database), AgentStore(database), TokenStore(database)
    bundles, issued = BundleStore(database), IssuedStore(database)
    journals = JournalStore(database, server_id(settings.data_dir))
    peers = Peers(journals)
    published = PublishedAuthorities(own, bundles, reader, peers)
    authorities = AuthorityManager(
        translation.authority_settings(settings),
        clock=clock,
        signers=signers,
        bundle=published,
        journals=journals,
        observer=observer,
    )
    lifetimes = translation.lifetimes(settings)
    issuer = Issuer(
        lifetimes=lifetimes,
        clock=clock,
        signers=signers,
        authorities=authorities,
        issued=issued,
        observer=observer,
    )
    svid = ServerSvid(own, issuer=issuer, clock=clock)
    authorities.subscribe(svid.renew)
    federated = FederatedBundles(database)
    federation = _federation(settings, clock, reader, federated, health)
    parts = Parts(
        trust_domain=own,
        clock=clock,
        observer=observer,
        health=health,
        reader=reader,
        entries=entries,
        agents=agents,
        tokens=tokens,
        bundles=bundles,
        federated=federated,
        relationships=RelationshipStore(database),
        refresher=federation,
        authorities=authorities,
        issuer=issuer,
        lifetimes=lifetimes,
        attestors=translation.attestors(config, ServerHost(own, clock, tokens)),
        server_chain=lambda: svid.identity().chain_der,
        limits=translation.rate_limits(settings),
        admin_ids=frozenset(settings.admin_ids),
        downstream_enabled=settings.downstream_authorities,
        jwt_enabled=not settings.disable_jwt_svids,
        wit_enabled=settings.experimental.wit_enabled,
        agreed=reader.agreed if database.shared else None,
    )
    reader.subscribe_restarts(authorities.database_went_back)
    await reader.load()
    await journals.adopt()
    async with TaskGroup() as behind:
        behind.start("change feed", reader.run())
        behind.start("signers", signers.run())
        signers.subscribe(authorities.signers_restarted)
        await authorities.start()
        await svid.start()
        behind.start("authorities", authorities.run())
        behind.start("server SVID", svid.run())
        behind.start("federation", federation.run())
        departed = {"journals of servers": peers.prune, "authorities": published.prune}
        pruner = Pruner(clock, entries, tokens, issued, feed, more=departed)
        behind.start("pruning", pruner.run())
        await _serve(settings, Api(parts), parts, svid, listening)


def _federation(
    settings: ServerSettings,
    clock: Clock,
    reader: FeedReader,
    store: FederatedBundles,
    health: Health,
) -> BundleManager:
    """What keeps the bundles of other trust domains current."""
    configured = settings.federation
    addresses = AddressPolicy.of(configured.allowed_addresses, configured.denied_addresses)
    return BundleManager(
        own=settings.trust_domain,
        static=configured.relationships,
        reader=reader,
        store=store,
        fetcher=BundleFetcher(
            clock=clock, addresses=addresses, follow_redirects=configured.follow_redirects
        ),
        clock=clock,
        rng=random.SystemRandom(),
        check=health.register("federation"),
    )


async def _serve(
    settings: ServerSettings,
    api: Api,
    parts: Parts,
    svid: ServerSvid,
    listening: Listening | None,
) -> None:
    """Open the sockets and serve until cancelled, then let calls end."""
    local = Server(
        clock=parts.clock,
        gate=api.gate,
        limits=Limits(connections_per_uid=settings.connections_per_uid),
        name="admin",
    )
    api.serve_on(local, local=True)
    remote = Server(
        clock=parts.clock,
        gate=api.gate,
        limits=Limits(
            connection_age=CONNECTION_AGE,
            connections_per_address=settings.connections_per_address,
        ),
        name="server",
    )
    api.serve_on(remote, local=False)
    check = parts.health.register("server")
    roots = _trusted(settings, parts.reader.bundles)
    tls = ServerTls(svid.identity, roots, parts.clock)
    async with TaskGroup() as serving:
        port = await remote.listen_tcp(settings.bind_address, settings.bind_port, tls)
        serving.start("tcp", remote.serve())
        make_folder(settings.socket_path.parent, SOCKET_FOLDER_MODE)
        group = translation.socket_group(settings)
        await local.listen_unix(settings.socket_path, mode=settings.socket_mode, group=group)
        serving.start("admin socket", local.serve())
        web = WebEndpoints(
            settings,
            clock=parts.clock,
            observer=parts.observer,
            bundles=parts.reader.bundles,
            identity=svid.identity,
        )
        await web.open(serving)
        check.ok()
        log(logger, logging.INFO, "serving", address=settings.bind_address, port=port)
        if listening is not None:
            listening(port)


def _trusted(settings: ServerSettings, bundles: BundleCache) -> Callable[[], tuple[Bundle, ...]]:
    """The bundles that clients' certificates may hang from: ours, and foreign administrators'."""
    domains = {settings.trust_domain, *(each.trust_domain for each in settings.admin_ids)}

    def now() -> tuple[Bundle, ...]:
        found = (bundles.bundle_for(domain) for domain in domains)
        return tuple(bundle for bundle in found if bundle is not None)

    return now
