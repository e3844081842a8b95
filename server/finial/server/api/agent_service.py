"""The Agent service: nodes that attest, and what operators do about them."""

# The wire names the methods and hands each a context.
# ruff: noqa: N802, ARG002

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.empty_pb2 import Empty

from finial.api.spire import types_pb2
from finial.api.spire.server import agent_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentServicer
from finial.runtime.observe import Observer
from finial.server.api.agent_codec import encode_agent
from finial.server.api.attestation import Attestation
from finial.server.api.convert import ConversionError, agent_id
from finial.server.api.failure import invalid, listing_failure, not_found, page_token
from finial.server.api.filters import agent_filter
from finial.server.api.join_tokens import JoinTokens
from finial.server.api.masks import hidden_fields
from finial.server.api.settled import Settled
from finial.server.datastore.agents import AgentStore
from finial.server.registry.agents import AgentIndex
from finial.server.registry.errors import NotFound, RegistryError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain


class AgentService(AgentServicer):
    """Operators' calls act on the store; a write is answered when the gate sees it."""

    def __init__(
        self,
        *,
        trust_domain: TrustDomain,
        store: AgentStore,
        index: AgentIndex,
        settled: Settled,
        tokens: JoinTokens,
        attestation: Attestation,
        observer: Observer,
    ) -> None:
        self._own = trust_domain
        self._store = store
        self._index = index
        self._settled = settled
        self._tokens = tokens
        self._attestation = attestation
        self._observer = observer

    async def CountAgents(
        self, request: agent_pb2.CountAgentsRequest, context: Any
    ) -> agent_pb2.CountAgentsResponse:
        try:
            count = await self._store.count(agent_filter(request.filter))
        except ConversionError as error:
            raise invalid(str(error)) from None
        except RegistryError as error:
            raise listing_failure("agents", error, "count") from None
        return agent_pb2.CountAgentsResponse(count=count)

    async def ListAgents(
        self, request: agent_pb2.ListAgentsRequest, context: Any
    ) -> agent_pb2.ListAgentsResponse:
        try:
            chosen = agent_filter(request.filter)
            page = await self._store.list(chosen, request.page_size, page_token(request))
        except ConversionError as error:
            raise invalid(str(error)) from None
        except RegistryError as error:
            raise listing_failure("agents", error) from None
        hidden = hidden_fields(request, "output_mask")
        return agent_pb2.ListAgentsResponse(
            agents=[encode_agent(agent, hidden) for agent in page.items],
            next_page_token=page.next_page_token,
        )

    def GetAgent(self, request: agent_pb2.GetAgentRequest, context: Any) -> types_pb2.Agent:
        agent = self._index.get(self._agent_id(request.id))
        if agent is None:
            raise not_found("agent not found")
        return encode_agent(agent, hidden_fields(request, "output_mask"))

    async def BanAgent(self, request: agent_pb2.BanAgentRequest, context: Any) -> Empty:
        banned = self._agent_id(request.id)
        try:
            await self._store.ban(banned)
        except NotFound:
            raise not_found("agent not found") from None
        await self._settled()
        self._observer.act("agent banned", agent_id=banned.uri)
        return Empty()

    async def DeleteAgent(self, request: agent_pb2.DeleteAgentRequest, context: Any) -> Empty:
        evicted = self._agent_id(request.id)
        try:
            await self._store.delete(evicted)
        except NotFound:
            raise not_found("agent not found") from None
        await self._settled()
        self._observer.act("agent evicted", agent_id=evicted.uri)
        return Empty()

    async def CreateJoinToken(
        self, request: agent_pb2.CreateJoinTokenRequest, context: Any
    ) -> types_pb2.JoinToken:
        return await self._tokens.create(request)

    async def AttestAgent(  # type: ignore[override]  # a coroutine that writes
        self,
        request_iterator: AsyncIterator[agent_pb2.AttestAgentRequest],
        context: Any,
    ) -> None:
        await self._attestation.attest(request_iterator, context)

    async def RenewAgent(
        self, request: agent_pb2.RenewAgentRequest, context: Any
    ) -> agent_pb2.RenewAgentResponse:
        return await self._attestation.renew(request, context)

    async def PostStatus(
        self, request: agent_pb2.PostStatusRequest, context: Any
    ) -> agent_pb2.PostStatusResponse:
        return await self._attestation.post_status(request, context)

    def _agent_id(self, message: types_pb2.SPIFFEID) -> SpiffeId:
        try:
            return agent_id(message, self._own)
        except ConversionError as error:
            raise invalid(f"invalid agent ID: {error}") from None
