"""The server's APIs as the agent calls them.

Two channels: one without a certificate, for attestation, which lasts for that one exchange, and
one with the agent's SVID for everything else, replaced whenever that SVID is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import grpc

from finial.agent.cache.tokens import HeldToken
from finial.agent.sync import convert
from finial.agent.sync.entry_sync import sync_entries
from finial.api.spire import types_pb2 as types
from finial.api.spire.server import (
    agent_pb2,
    agent_pb2_grpc,
    bundle_pb2,
    bundle_pb2_grpc,
    entry_pb2_grpc,
    svid_pb2,
    svid_pb2_grpc,
)
from finial.runtime.rpc import RpcError
from finial.spiffe import jwt_svid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from finial.agent.cache.entries import Entry
    from finial.runtime.rpc import Channel
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.trust_domain import TrustDomain

CALL_TIMEOUT = 30.0
MAX_BATCH = 500

Respond = Callable[[bytes], Awaitable[bytes]]


class ProtocolError(Exception):
    """The server answered something that the protocol does not have."""


@dataclass(frozen=True, slots=True)
class Attested:
    """The result of an attestation: DER chain, leaf first."""

    chain: tuple[bytes, ...]
    reattestable: bool


@dataclass(frozen=True, slots=True)
class Unissued:
    """Why the server left one order of a batch unfilled."""

    code: int
    message: str


class _Stubs:
    """The stubs of one channel; making them costs more than a call."""

    def __init__(self, channel: Any) -> None:
        self.agent = cast("agent_pb2_grpc.AgentAsyncStub", agent_pb2_grpc.AgentStub(channel))
        self.bundle = cast("bundle_pb2_grpc.BundleAsyncStub", bundle_pb2_grpc.BundleStub(channel))
        self.entry = cast("entry_pb2_grpc.EntryAsyncStub", entry_pb2_grpc.EntryStub(channel))
        self.svid = cast("svid_pb2_grpc.SVIDAsyncStub", svid_pb2_grpc.SVIDStub(channel))


class Connector(Protocol):
    """Makes channels to the server; both verify that it is the server."""

    def anonymous(self) -> Channel:
        """Return a channel that presents no certificate."""

    def identified(self) -> Channel:
        """Return a channel that presents the agent's SVID as it is when it connects."""


class ServerClient:
    """Calls the server. Every method raises RpcError or ProtocolError when a call fails."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._channel: Channel | None = None
        self._stubs: _Stubs | None = None

    @property
    def _identified(self) -> _Stubs:
        if self._stubs is None:
            self._channel = self._connector.identified()
            self._stubs = _Stubs(self._channel)
        return self._stubs

    def reconnect(self) -> None:
        """Use a new connection from the next call on: the agent's SVID is another.

        Calls under way on the old one go on.
        """
        if self._channel is not None:
            self._channel.reconnect()

    async def close(self) -> None:
        """Close the connection and what is under way on it."""
        channel, self._channel, self._stubs = self._channel, None, None
        if channel is not None:
            await channel.close()

    async def attest(
        self, kind: str, payload: bytes, csr: bytes, respond: Respond
    ) -> tuple[Attested, Bundle]:
        """Attest, then fetch the bundle on the same connection; `respond` answers challenges."""
        channel = self._connector.anonymous()
        stubs = _Stubs(channel)
        try:
            attested = await self._attest(stubs, kind, payload, csr, respond)
            return attested, await _bundle(stubs)
        finally:
            await channel.close()

    async def _attest(
        self, stubs: _Stubs, kind: str, payload: bytes, csr: bytes, respond: Respond
    ) -> Attested:
        call = stubs.agent.AttestAgent(timeout=CALL_TIMEOUT)
        params = agent_pb2.AttestAgentRequest.Params(
            data=types.AttestationData(type=kind, payload=payload),
            params=agent_pb2.AgentX509SVIDParams(csr=csr),
        )
        await call.write(agent_pb2.AttestAgentRequest(params=params))
        while True:
            answer = await call.read()
            if not isinstance(answer, agent_pb2.AttestAgentResponse):
                raise ProtocolError("server ended the attestation without a result")
            if answer.HasField("result"):
                await call.done_writing()
                result = answer.result
                return Attested(tuple(result.svid.cert_chain), result.reattestable)
            response = await respond(answer.challenge)
            await call.write(agent_pb2.AttestAgentRequest(challenge_response=response))

    async def renew(self, csr: bytes) -> tuple[bytes, ...]:
        """Return the DER chain of a new agent SVID, leaf first."""
        request = agent_pb2.RenewAgentRequest(params=agent_pb2.AgentX509SVIDParams(csr=csr))
        answer = await self._identified.agent.RenewAgent(request, timeout=CALL_TIMEOUT)
        return tuple(answer.svid.cert_chain)

    async def post_status(self, version: str) -> None:
        """Tell the server which version this agent is."""
        await self._identified.agent.PostStatus(
            agent_pb2.PostStatusRequest(agent_version=version), timeout=CALL_TIMEOUT
        )

    async def entries(self, known: Mapping[str, Entry]) -> dict[str, Entry]:
        """Return the entries this agent is authorised for, by id, re-using known ones."""
        return await sync_entries(
            self._identified.entry.SyncAuthorizedEntries(timeout=CALL_TIMEOUT), known
        )

    async def bundle(self) -> Bundle:
        """Return the own trust domain's bundle."""
        return await _bundle(self._identified)

    async def federated_bundle(self, trust_domain: TrustDomain) -> Bundle | None:
        """Return another trust domain's bundle; None when the server does not have it."""
        request = bundle_pb2.GetFederatedBundleRequest(trust_domain=trust_domain.name)
        try:
            answer = await self._identified.bundle.GetFederatedBundle(request, timeout=CALL_TIMEOUT)
        except RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return convert.to_bundle(answer)

    async def x509_svids(
        self, orders: Sequence[tuple[str, bytes]]
    ) -> list[tuple[bytes, ...] | Unissued]:
        """Order SVIDs by entry id and request; the results are in the same order."""
        request = svid_pb2.BatchNewX509SVIDRequest(
            params=[svid_pb2.NewX509SVIDParams(entry_id=entry, csr=csr) for entry, csr in orders]
        )
        answer = await self._identified.svid.BatchNewX509SVID(request, timeout=CALL_TIMEOUT)
        if len(answer.results) != len(orders):
            raise ProtocolError("server answered another number of SVIDs than was ordered")
        return [
            Unissued(result.status.code, result.status.message)
            if result.status.code
            else tuple(result.svid.cert_chain)
            for result in answer.results
        ]

    async def wit_svids(self, orders: Sequence[tuple[str, bytes, str]]) -> list[str | Unissued]:
        """Order WIT-SVIDs by entry id, public key (SPKI DER) and its algorithm; tokens in order."""
        params = [
            svid_pb2.NewWITSVIDParams(entry_id=entry, public_key=key, signing_algorithm=algorithm)
            for entry, key, algorithm in orders
        ]
        request = svid_pb2.BatchNewWITSVIDRequest(params=params)
        answer = await self._identified.svid.BatchNewWITSVID(request, timeout=CALL_TIMEOUT)
        if len(answer.results) != len(orders):
            raise ProtocolError("server answered another number of SVIDs than was ordered")
        return [
            Unissued(result.status.code, result.status.message)
            if result.status.code
            else result.svid.token
            for result in answer.results
        ]

    async def jwt_svid(self, entry: Entry, audience: Sequence[str]) -> HeldToken:
        """Order a JWT-SVID."""
        request = svid_pb2.NewJWTSVIDRequest(entry_id=entry.id, audience=audience)
        answer = await self._identified.svid.NewJWTSVID(request, timeout=CALL_TIMEOUT)
        try:
            parsed = jwt_svid.parse_unverified(answer.svid.token)
        except ValueError as error:
            raise ProtocolError(f"server sent a token that cannot be read: {error}") from None
        if parsed.id != entry.spiffe_id:
            raise ProtocolError("server sent a token for another identity")
        if set(parsed.audience) != set(audience):
            raise ProtocolError("server sent a token for another audience")
        return HeldToken(
            token=answer.svid.token,
            spiffe_id=parsed.id,
            issued_at=answer.svid.issued_at or parsed.issued_at,
            expires_at=parsed.expires_at,
            key_id=parsed.key_id,
        )


async def _bundle(stubs: _Stubs) -> Bundle:
    answer = await stubs.bundle.GetBundle(bundle_pb2.GetBundleRequest(), timeout=CALL_TIMEOUT)
    return convert.to_bundle(answer)
