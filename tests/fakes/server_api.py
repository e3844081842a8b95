"""A server's API in this process: real stores, indexes, gate and transport; a fake issuer."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from finial.api.spire import types_pb2
from finial.api.spire.server import agent_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.attestors.node.interface import NodeAttestorServer, ServerHost
from finial.attestors.node.join_token.server import JoinTokenServer
from finial.runtime.health import Health
from finial.runtime.observe import Observer
from finial.runtime.rpc import Channel, ClientTls, RpcError, Server, ServerTls, TlsIdentity
from finial.server.api.assembly import Api, Parts
from finial.server.api.ratelimit import RateLimitSettings
from finial.server.authority import AuthorityManager, AuthoritySettings
from finial.server.datastore.agents import AgentStore
from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.database import Database
from finial.server.datastore.entries import EntryStore
from finial.server.datastore.federated_bundles import FederatedBundles
from finial.server.datastore.feed import FeedStore
from finial.server.datastore.relationships import RelationshipStore
from finial.server.datastore.tokens import TokenStore
from finial.server.federation.manager import BundleManager
from finial.server.issuance import Lifetimes
from finial.server.own_bundle import PublishedAuthorities
from finial.server.registry.feed import FeedReader
from finial.server.signer.model import KeyType
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import X509Svid
from tests.fakes.authority import FakeJournals
from tests.fakes.ca import FakeCa, pkcs8
from tests.fakes.clock import FakeClock
from tests.fakes.fetcher import FakeFetcher, MiddleRng
from tests.fakes.issuer import FakeIssuer
from tests.fakes.signers import FakeSigners

ADMIN_ID = SpiffeId.parse("spiffe://example.org/ops/admin")
LIFETIMES = Lifetimes(longest_x509=86_400, longest_jwt=86_400, guaranteed=14_400)
OFF = RateLimitSettings(attestation=False, signing=False)


def csr(
    key: ec.EllipticCurvePrivateKey | None = None,
    uris: Sequence[str] = (),
    dns_names: Sequence[str] = (),
    common_name: str = "",
) -> bytes:
    """A PKCS#10 request, DER."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [x509.DNSName(name) for name in dns_names]
    subject = [x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    key = key or ec.generate_private_key(ec.SECP256R1())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


class NoPeers:
    """No other server has the database."""

    async def held(self) -> Collection[str]:
        return ()


@dataclass(slots=True)
class Attested:
    """An agent that attested, and the channel that it calls on."""

    id: SpiffeId
    svid: X509Svid
    channel: Channel


class ApiLab:
    """One server; `open_lab` makes it. Everything runs on `clock`."""

    def __init__(
        self,
        folder: Path,
        *,
        limits: RateLimitSettings,
        jwt_enabled: bool = True,
        wit_enabled: bool = True,
        downstream_enabled: bool = True,
    ) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.ca = FakeCa()
        self.issuer = FakeIssuer(self.ca)
        self.health = Health()
        self.signers, self.journals = FakeSigners(), FakeJournals()
        self.fetcher = FakeFetcher()
        self.attestors: dict[str, NodeAttestorServer] = {}
        self.socket = folder / "api.sock"
        self.port = 0
        self.db: Database
        self.reader: FeedReader
        self.api: Api
        self._limits = limits
        self._jwt_enabled = jwt_enabled
        self._wit_enabled = wit_enabled
        self._downstream_enabled = downstream_enabled
        self._held = AsyncExitStack()

    async def start(self) -> None:
        self.db = await Database.open(self.folder / "data.sqlite3", self.clock)
        self._held.push_async_callback(self.db.close)
        self.reader = FeedReader(FeedStore(self.db), self.clock)
        self.bundles = BundleStore(self.db)
        await self.bundles.put(self.ca.bundle())
        await self.reader.load()
        following = asyncio.ensure_future(self.reader.run())
        self._held.callback(following.cancel)
        self.agents, self.tokens = AgentStore(self.db), TokenStore(self.db)
        self.entries = EntryStore(self.db)
        host = ServerHost(self.ca.trust_domain, self.clock, self.tokens)
        self.attestors["join_token"] = JoinTokenServer(host, {})
        self.server_svid = self.ca.issue("spiffe://example.org/spire/server")
        self.federated = FederatedBundles(self.db)
        self.relationships = RelationshipStore(self.db)
        self.manager = BundleManager(
            own=self.ca.trust_domain,
            static=(),
            reader=self.reader,
            store=self.federated,
            fetcher=self.fetcher,
            clock=self.clock,
            rng=MiddleRng(),
            check=self.health.register("federation"),
        )
        managing = asyncio.ensure_future(self.manager.run())
        self._held.callback(managing.cancel)
        self.authorities = self._manager()
        self.api = Api(self._parts())
        await self._listen()
        self.local = self._channel(f"unix:{self.socket}")
        self.anonymous = self.connect(None)

    def _manager(self) -> AuthorityManager:
        """Authorities that publish to the lab's bundle once a test starts them."""
        own = PublishedAuthorities(self.ca.trust_domain, self.bundles, self.reader, NoPeers())
        return AuthorityManager(
            AuthoritySettings(wit_key_type=KeyType.EC_P256 if self._wit_enabled else None),
            clock=self.clock,
            signers=self.signers,
            bundle=own,
            journals=self.journals,
            observer=Observer(logging.getLogger("finial.test")),
        )

    def _parts(self) -> Parts:
        return Parts(
            trust_domain=self.ca.trust_domain,
            clock=self.clock,
            observer=Observer(logging.getLogger("finial.test")),
            health=self.health,
            reader=self.reader,
            entries=self.entries,
            agents=self.agents,
            tokens=self.tokens,
            bundles=self.bundles,
            federated=self.federated,
            relationships=self.relationships,
            refresher=self.manager,
            authorities=self.authorities,
            issuer=self.issuer,
            lifetimes=LIFETIMES,
            attestors=self.attestors,
            server_chain=lambda: self.server_svid.chain,
            limits=self._limits,
            admin_ids=frozenset({ADMIN_ID}),
            downstream_enabled=self._downstream_enabled,
            jwt_enabled=self._jwt_enabled,
            wit_enabled=self._wit_enabled,
        )

    async def _listen(self) -> None:
        local = Server(clock=self.clock, gate=self.api.gate, name="admin")
        self.api.serve_on(local, local=True)
        await local.listen_unix(self.socket, mode=0o600)
        remote = Server(clock=self.clock, gate=self.api.gate, name="server")
        self.api.serve_on(remote, local=False)
        tls = ServerTls(lambda: _identity(self.server_svid), self.reader.bundles.all, self.clock)
        self.port = await remote.listen_tcp("127.0.0.1", 0, tls)
        self._held.push_async_callback(local.drain, 0)
        self._held.push_async_callback(remote.drain, 0)

    def _channel(self, target: str, tls: ClientTls | None = None) -> Channel:
        channel = Channel(target, clock=self.clock, tls=tls)
        self._held.push_async_callback(channel.close)
        return channel

    def connect(self, svid: X509Svid | None) -> Channel:
        """A new connection over TLS, as the bearer of `svid` or as nobody."""
        identity = None if svid is None else _identity(svid)
        own = self.ca.bundle()
        tls = ClientTls(
            lambda: identity,
            lambda: (own,),
            SpiffeId.of(self.ca.trust_domain, "/spire/server"),
            self.clock,
        )
        return self._channel(f"127.0.0.1:{self.port}", tls)

    async def attest(self, token: str = "") -> Attested:
        """Lets a new agent join, with a token of its own unless `token` is one."""
        if not token:
            request = agent_pb2.CreateJoinTokenRequest(ttl=600)
            token = (await AgentStub(self.local).CreateJoinToken(request)).value
        key = ec.generate_private_key(ec.SECP256R1())
        result = await attest_with(self.anonymous, token, csr(key))
        agent_id = SpiffeId.of(self.ca.trust_domain, f"/spire/agent/join_token/{token}")
        svid = X509Svid.parse(tuple(result.svid.cert_chain), pkcs8(key))
        return Attested(agent_id, svid, self.connect(svid))

    async def close(self) -> None:
        await self._held.aclose()


async def attest_with(
    channel: Channel, token: str, request: bytes, kind: str = "join_token"
) -> agent_pb2.AttestAgentResponse.Result:
    """One attestation without challenges; raises RpcError."""
    params = agent_pb2.AttestAgentRequest.Params(
        data=types_pb2.AttestationData(type=kind, payload=token.encode()),
        params=agent_pb2.AgentX509SVIDParams(csr=request),
    )
    call: Any = AgentStub(channel).AttestAgent(iter([agent_pb2.AttestAgentRequest(params=params)]))
    async for response in call:
        return response.result  # type: ignore[no-any-return]
    raise AssertionError("the server gave no result")


@asynccontextmanager
async def open_lab(
    folder: Path,
    *,
    limits: RateLimitSettings = OFF,
    jwt_enabled: bool = True,
    wit_enabled: bool = True,
    downstream_enabled: bool = True,
) -> AsyncIterator[ApiLab]:
    """A running server in `folder`."""
    lab = ApiLab(
        folder,
        limits=limits,
        jwt_enabled=jwt_enabled,
        wit_enabled=wit_enabled,
        downstream_enabled=downstream_enabled,
    )
    try:
        await lab.start()
        yield lab
    finally:
        await lab.close()


def _identity(svid: X509Svid) -> TlsIdentity:
    return TlsIdentity(svid.chain, svid.key_pkcs8)


async def renew(agent: Attested) -> X509Svid:
    """Renew the agent's SVID; the old one counts until the new one is used."""
    key = ec.generate_private_key(ec.SECP256R1())
    params = agent_pb2.AgentX509SVIDParams(csr=csr(key))
    answer = await AgentStub(agent.channel).RenewAgent(agent_pb2.RenewAgentRequest(params=params))
    return X509Svid.parse(tuple(answer.svid.cert_chain), pkcs8(key))


def reason_of(error: RpcError) -> int:
    """Return why an agent was refused, a PermissionDeniedDetails.Reason."""
    (packed,) = error.status_details()
    detail = PermissionDeniedDetails()
    assert packed.Unpack(detail)
    return detail.reason
