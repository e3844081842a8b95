"""A server in memory that speaks SPIRE's protocol to agents: honest, until told to lie.

It keeps entries, agents and join tokens in dictionaries that a test may edit at any time, signs
with a FakeCa, and listens on a real TLS port. `lies` makes single methods fail, wait, or answer
nonsense; `stop` and `start` take it away and bring it back on the same port.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key

from finial.api.spire import types_pb2 as types
from finial.api.spire.server import (
    agent_pb2,
    agent_pb2_grpc,
    bundle_pb2_grpc,
    entry_pb2,
    entry_pb2_grpc,
    svid_pb2,
    svid_pb2_grpc,
)
from finial.runtime.rpc import OpenGate, Server, ServerTls, StatusError, TlsIdentity
from finial.spiffe import jwt_svid
from finial.spiffe.wit_svid import confirmation
from tests.fakes.ca import FakeCa
from tests.fakes.wit import FakeWit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from finial.runtime.clock import Clock
    from finial.runtime.rpc import ServerContext
    from finial.spiffe.bundle import Bundle

Reason = types.PermissionDeniedDetails
PAGE = 500


@dataclass
class Lies:
    """What the server does other than honestly, by method name such as `NewJWTSVID`."""

    failures: dict[str, StatusError] = field(default_factory=dict)
    delays: dict[str, asyncio.Event] = field(default_factory=dict)  # answered once it is set
    largest_batch: int = 500
    swap_identity: str = ""  # issue this SPIFFE ID instead of the entry's
    swap_agent: str = ""  # issue this one to the agent that attests
    swap_key: bool = False  # bind WIT-SVIDs to a key that nobody asked for
    forge_wits: bool = False  # sign them with a key that is not the published one
    swap_own: str = ""  # present this one as the server's
    challenge: bytes = b""  # sent before a node is attested


@dataclass
class FakeAgent:
    """An agent's record: the serial in force and, after a renewal, the one to come."""

    serial: int = 0
    new_serial: int = 0
    banned: bool = False


class FakeServer:
    """One trust domain's server for tests of the agent."""

    def __init__(self, clock: Clock, ca: FakeCa | None = None) -> None:
        self.clock = clock
        self.ca = ca or FakeCa(now=clock.time(), ttl=10 * 365 * 86400)
        self._first = self.ca
        self._others: list[FakeCa] = []
        self.td = self.ca.trust_domain.name
        self.tokens: set[str] = set()
        self.agents: dict[str, FakeAgent] = {}
        self.entries: dict[str, types.Entry] = {}
        self.federated: dict[str, types.Bundle] = {}
        self.roots: list[types.X509Certificate] = [types.X509Certificate(asn1=self.ca.der)]
        self.tainted_jwt = False
        self.wit: FakeWit | None = None  # None: WIT-SVIDs are switched off
        self.old_wits: list[FakeWit] = []  # in the bundle, too
        self.tainted_wits: set[str] = set()
        self.reattestable = False
        self.agent_ttl = 3600
        self.svid_ttl = 3600
        self.jwt_ttl = 300
        self.lies = Lies()
        self.calls: Counter[str] = Counter()
        self.issued: Counter[str] = Counter()
        self.versions: list[str] = []
        self.port = 0
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._identity: tuple[float, TlsIdentity] | None = None

    # --- what a test does

    def bundle_pem(self) -> bytes:
        return self.ca.bundle().to_pem()

    def add_token(self, token: str = "token-1") -> str:
        self.tokens.add(token)
        return token

    def add_entry(
        self,
        entry_id: str,
        path: str,
        *selectors: str,
        **fields: Any,
    ) -> types.Entry:
        """Create or replace an entry; a selector is `type:value`."""
        before = self.entries.get(entry_id)
        entry = types.Entry(
            id=entry_id,
            spiffe_id=types.SPIFFEID(trust_domain=self.td, path=path),
            selectors=[
                types.Selector(type=kind, value=value)
                for kind, _, value in (text.partition(":") for text in selectors)
            ],
            revision_number=before.revision_number + 1 if before is not None else 0,
            created_at=fields.pop("created_at", int(self.clock.time())),
            **fields,
        )
        self.entries[entry_id] = entry
        return entry

    def ban(self, agent_id: str) -> None:
        self.agents[agent_id].banned = True

    def evict(self, agent_id: str) -> None:
        del self.agents[agent_id]

    async def start(self) -> None:
        """Listen; after `stop` on the port it had."""
        server = Server(clock=self.clock, gate=OpenGate(), name="fake")
        agent_pb2_grpc.add_AgentServicer_to_server(_Agents(self), server)
        bundle_pb2_grpc.add_BundleServicer_to_server(_Bundles(self), server)
        entry_pb2_grpc.add_EntryServicer_to_server(_Entries(self), server)
        svid_pb2_grpc.add_SVIDServicer_to_server(_Svids(self), server)
        tls = ServerTls(self._tls_identity, self._client_bundles, self.clock)
        self.port = await server.listen_tcp("127.0.0.1", self.port, tls)
        self._server = server
        self._serving = asyncio.create_task(server.serve())
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """Vanish: every connection is cut."""
        server, self._server = self._server, None
        serving, self._serving = self._serving, None
        if server is not None and serving is not None:
            await server.drain(0)
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    # --- what it is made of

    def _tls_identity(self) -> TlsIdentity:
        now = self.clock.time()
        if self._identity is None or self._identity[0] <= now:
            self.ca.now = now
            own = self.lies.swap_own or f"spiffe://{self.td}/spire/server"
            svid = self.ca.issue(own, ttl=86400)
            self._identity = (now + 43200, TlsIdentity(svid.chain, svid.key_pkcs8))
        return self._identity[1]

    def renew_own_svid(self) -> None:
        """Present a new certificate from the next handshake on."""
        self._identity = None

    def trust_also(self, ca: FakeCa) -> None:
        """Accept agents by another authority as well."""
        self._others.append(ca)

    def _client_bundles(self) -> Sequence[Bundle]:
        return (self._first.bundle(*self._others),)

    def bundle(self) -> types.Bundle:
        return types.Bundle(
            trust_domain=self.td,
            x509_authorities=self.roots,
            jwt_authorities=[
                types.JWTKey(public_key=key.spki_der, key_id=key.key_id, tainted=self.tainted_jwt)
                for key in self.ca.bundle().jwt_authorities
            ],
            wit_authorities=[
                types.WITKey(
                    public_key=each.authority.spki_der,
                    key_id=each.key_id,
                    tainted=each.key_id in self.tainted_wits,
                )
                for each in (self.wit, *self.old_wits)
                if each is not None
            ],
            sequence_number=1,
        )

    async def enter(self, method: str) -> None:
        """Count the call, and lie if told so."""
        self.calls[method] += 1
        gate = self.lies.delays.get(method)
        if gate is not None:
            await gate.wait()
        failure = self.lies.failures.get(method)
        if failure is not None:
            raise failure

    async def authenticate(self, context: ServerContext, method: str) -> str:
        """Return the calling agent's ID, or refuse with the reason SPIRE would give."""
        await self.enter(method)
        svid = getattr(context.caller, "svid", None)
        if svid is None:
            raise StatusError(grpc.StatusCode.PERMISSION_DENIED, f"denied for method {method}")
        record = self.agents.get(svid.id.uri)
        if record is None:
            raise denied(Reason.AGENT_NOT_ATTESTED)
        if record.banned:
            raise denied(Reason.AGENT_BANNED)
        if svid.not_after <= self.clock.time():
            raise denied(Reason.AGENT_EXPIRED)
        if svid.serial == record.new_serial:
            record.serial, record.new_serial = record.new_serial, 0
        if svid.serial != record.serial:
            raise denied(Reason.AGENT_NOT_ACTIVE)
        return str(svid.id.uri)

    def sign(self, spiffe_id: str, csr: bytes, ttl: float) -> types.X509SVID:
        request = x509.load_der_x509_csr(csr)
        if not request.is_signature_valid:
            raise StatusError(grpc.StatusCode.INVALID_ARGUMENT, "failed to verify CSR signature")
        self.ca.now = self.clock.time()
        issued = self.ca.issue(
            spiffe_id,
            ttl=ttl,
            csr_public_key=request.public_key(),  # type: ignore[arg-type]
        )
        return types.X509SVID(
            cert_chain=issued.chain,
            id=types.SPIFFEID(trust_domain=self.td, path=issued.id.path),
            expires_at=issued.not_after,
        )


def denied(reason: Any) -> StatusError:
    """Return the refusal of an agent for a reason."""
    return StatusError(grpc.StatusCode.PERMISSION_DENIED, "agent refused", [Reason(reason=reason)])


def _serial(svid: types.X509SVID) -> int:
    return x509.load_der_x509_certificate(svid.cert_chain[0]).serial_number


class _Agents(agent_pb2_grpc.AgentServicer):
    def __init__(self, server: FakeServer) -> None:
        self._server = server

    async def AttestAgent(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002
        server = self._server
        await server.enter("AttestAgent")
        messages = aiter(request_iterator)
        params = (await anext(messages)).params
        token = params.data.payload.decode()
        if token not in server.tokens:
            raise StatusError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "failed to attest: join token does not exist or has already been used",
            )
        if server.lies.challenge:
            yield agent_pb2.AttestAgentResponse(challenge=server.lies.challenge)
            await anext(messages)
        if not server.reattestable:
            server.tokens.discard(token)
        agent_id = f"spiffe://{server.td}/spire/agent/{params.data.type}/{token}"
        record = server.agents.setdefault(agent_id, FakeAgent())
        if record.banned:
            raise StatusError(
                grpc.StatusCode.PERMISSION_DENIED, "failed to attest: agent is banned"
            )
        issued_id = server.lies.swap_agent or agent_id
        svid = server.sign(issued_id, params.params.csr, server.agent_ttl)
        record.serial, record.new_serial = _serial(svid), 0
        result = agent_pb2.AttestAgentResponse.Result(svid=svid, reattestable=server.reattestable)
        yield agent_pb2.AttestAgentResponse(result=result)

    async def RenewAgent(self, request: agent_pb2.RenewAgentRequest, context: Any) -> Any:
        agent_id = await self._server.authenticate(context, "RenewAgent")
        if self._server.reattestable:
            raise denied(Reason.AGENT_MUST_REATTEST)
        svid = self._server.sign(agent_id, request.params.csr, self._server.agent_ttl)
        self._server.agents[agent_id].new_serial = _serial(svid)
        return agent_pb2.RenewAgentResponse(svid=svid)

    async def PostStatus(self, request: agent_pb2.PostStatusRequest, context: Any) -> Any:
        await self._server.authenticate(context, "PostStatus")
        self._server.versions.append(request.agent_version)
        return agent_pb2.PostStatusResponse()


class _Bundles(bundle_pb2_grpc.BundleServicer):
    def __init__(self, server: FakeServer) -> None:
        self._server = server

    async def GetBundle(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        await self._server.enter("GetBundle")
        return self._server.bundle()

    async def GetFederatedBundle(self, request: Any, context: Any) -> Any:
        await self._server.authenticate(context, "GetFederatedBundle")
        bundle = self._server.federated.get(request.trust_domain)
        if bundle is None:
            raise StatusError(grpc.StatusCode.NOT_FOUND, "bundle not found")
        return bundle


class _Entries(entry_pb2_grpc.EntryServicer):
    def __init__(self, server: FakeServer) -> None:
        self._server = server

    async def SyncAuthorizedEntries(self, request_iterator: Any, context: Any) -> Any:
        await self._server.authenticate(context, "SyncAuthorizedEntries")
        messages = aiter(request_iterator)
        first = await anext(messages)
        if first.ids or not first.output_mask.revision_number:
            raise StatusError(grpc.StatusCode.INVALID_ARGUMENT, "bad first message")
        everything = list(self._server.entries.values())
        response: Callable[..., Any] = entry_pb2.SyncAuthorizedEntriesResponse
        if len(everything) <= PAGE:
            yield response(entries=everything)
            return
        for page, more in _pages(everything):
            yield response(
                entry_revisions=[
                    entry_pb2.EntryRevision(
                        id=entry.id,
                        revision_number=entry.revision_number,
                        created_at=entry.created_at,
                    )
                    for entry in page
                ],
                more=more,
            )
        async for request in messages:
            self._server.calls["SyncAuthorizedEntries.ids"] += len(request.ids)
            known = sorted(set(request.ids) & self._server.entries.keys())
            found = [self._server.entries[entry_id] for entry_id in known]
            for page, more in _pages(found):
                yield response(entries=page, more=more)


def _pages(items: list[Any]) -> list[tuple[list[Any], bool]]:
    starts = range(0, len(items), PAGE) or (0,)
    return [(items[start : start + PAGE], start + PAGE < len(items)) for start in starts]


class _Svids(svid_pb2_grpc.SVIDServicer):
    def __init__(self, server: FakeServer) -> None:
        self._server = server

    async def BatchNewX509SVID(self, request: Any, context: Any) -> Any:
        server = self._server
        await server.authenticate(context, "BatchNewX509SVID")
        if len(request.params) > server.lies.largest_batch:
            raise StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "exceeds burst size")
        results = [self._issue(params) for params in request.params]
        return svid_pb2.BatchNewX509SVIDResponse(results=results)

    def _issue(self, params: svid_pb2.NewX509SVIDParams) -> Any:
        server = self._server
        result = svid_pb2.BatchNewX509SVIDResponse.Result
        entry = server.entries.get(params.entry_id)
        if entry is None:
            return result(status=types.Status(code=5, message="entry not found or not authorized"))
        server.issued[entry.id] += 1
        spiffe_id = server.lies.swap_identity or f"spiffe://{server.td}{entry.spiffe_id.path}"
        ttl = entry.x509_svid_ttl or server.svid_ttl
        return result(
            status=types.Status(code=0, message="OK"), svid=server.sign(spiffe_id, params.csr, ttl)
        )

    async def BatchNewWITSVID(self, request: Any, context: Any) -> Any:
        server = self._server
        await server.authenticate(context, "BatchNewWITSVID")
        if server.wit is None:
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, "WIT functionality is disabled")
        if len(request.params) > server.lies.largest_batch:
            raise StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "exceeds burst size")
        results = [self._issue_wit(server.wit, params) for params in request.params]
        return svid_pb2.BatchNewWITSVIDResponse(results=results)

    def _issue_wit(self, wit: FakeWit, params: svid_pb2.NewWITSVIDParams) -> Any:
        server = self._server
        result = svid_pb2.BatchNewWITSVIDResponse.Result
        entry = server.entries.get(params.entry_id)
        if entry is None:
            return result(status=types.Status(code=5, message="entry not found or not authorized"))
        number = server.issued[f"wit {entry.id}"] = server.issued[f"wit {entry.id}"] + 1
        now = int(server.clock.time())
        ttl = entry.x509_svid_ttl or server.svid_ttl
        key = load_der_public_key(params.public_key)
        if server.lies.swap_key:
            key = FakeWit().workload_key.public_key()
        token = wit.token(
            key=FakeWit().key if server.lies.forge_wits else None,
            sub=server.lies.swap_identity or f"spiffe://{server.td}{entry.spiffe_id.path}",
            iat=now,
            exp=now + ttl,
            jti=f"{entry.id}-{number}",
            cnf=confirmation(key, params.signing_algorithm),
        )
        svid = types.WITSVID(token=token, id=entry.spiffe_id, issued_at=now, expires_at=now + ttl)
        return result(status=types.Status(code=0, message="OK"), svid=svid)

    async def NewJWTSVID(self, request: Any, context: Any) -> Any:
        server = self._server
        await server.authenticate(context, "NewJWTSVID")
        entry = server.entries.get(request.entry_id)
        if entry is None:
            raise StatusError(grpc.StatusCode.NOT_FOUND, "entry not found or not authorized")
        server.ca.now = now = server.clock.time()
        ttl = entry.jwt_svid_ttl or server.jwt_ttl
        number = server.issued["jwt"] = server.issued["jwt"] + 1
        token = server.ca.jwt(
            server.lies.swap_identity or f"spiffe://{server.td}{entry.spiffe_id.path}",
            list(request.audience),
            ttl=ttl,
            jti=str(number),
        )
        parsed = jwt_svid.parse_unverified(token)
        return svid_pb2.NewJWTSVIDResponse(
            svid=types.JWTSVID(
                token=token,
                id=entry.spiffe_id,
                expires_at=parsed.expires_at,
                issued_at=int(now),
                hint=entry.hint,
            )
        )
