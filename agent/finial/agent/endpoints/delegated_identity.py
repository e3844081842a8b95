"""The DelegatedIdentity service of the admin socket.

Each call finds out who is calling, then whether that is a delegate, then for whom it acts; each
stream asks again with every update.
"""

# The wire names the methods and hands each a context.
# ruff: noqa: N802, ARG002

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from finial.agent.cache.views import DelegatedTopic
from finial.agent.endpoints.delegated_streams import DelegatedStream
from finial.agent.endpoints.delegates import Acting, Delegates, no_identity
from finial.agent.endpoints.streams import FanOut
from finial.agent.endpoints.tokens import all_tokens
from finial.api.spire import types_pb2 as types
from finial.api.spire.agent import delegatedidentity_pb2 as pb
from finial.api.spire.agent.delegatedidentity_pb2_grpc import DelegatedIdentityServicer
from finial.runtime.rpc import StatusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Sequence

    from finial.agent.cache.entries import Entry
    from finial.agent.cache.tokens import HeldToken
    from finial.agent.cache.workloads import Workloads
    from finial.agent.endpoints.callers import CallerAttestor
    from finial.agent.endpoints.delegates import Description
    from finial.agent.endpoints.early import EarlyCallers
    from finial.agent.sync.tokens import TokenIssuer
    from finial.attestors.selector import Selector
    from finial.runtime.clock import Clock
    from finial.runtime.rpc import PushStream, ServerContext

    Selectors = tuple[Selector, ...]


class DelegatedIdentityService(DelegatedIdentityServicer):
    """Serves delegates from the cache."""

    def __init__(
        self,
        *,
        workloads: Workloads,
        callers: CallerAttestor,
        early: EarlyCallers,
        tokens: TokenIssuer,
        clock: Clock,
    ) -> None:
        self._workloads = workloads
        self._callers = callers
        self._early = early
        self._tokens = tokens
        self._clock = clock
        self._delegates = Delegates(workloads, callers)
        self._fan_out = FanOut()

    # --- streams

    def SubscribeToX509SVIDs(self, request: pb.SubscribeToX509SVIDsRequest, context: Any) -> Any:
        return self._subscribe(context, DelegatedTopic.X509_SVIDS, request)

    def SubscribeToX509Bundles(
        self, request: pb.SubscribeToX509BundlesRequest, context: Any
    ) -> Any:
        return self._subscribe(context, DelegatedTopic.X509_BUNDLES)

    def SubscribeToJWTBundles(self, request: pb.SubscribeToJWTBundlesRequest, context: Any) -> Any:
        return self._subscribe(context, DelegatedTopic.JWT_BUNDLES)

    def _subscribe(
        self,
        context: ServerContext,
        topic: DelegatedTopic,
        description: Description | None = None,
    ) -> PushStream | Coroutine[None, None, None]:
        caller = self._callers.attest(context.caller)
        stream = context.push_stream()
        acting = self._acting(caller, description)
        if isinstance(acting, Acting):
            self._open(stream, topic, acting)
            return stream
        over = asyncio.Event()
        context.add_done_callback(lambda _context: over.set())
        return self._subscribe_later(stream, topic, acting, over)

    async def _subscribe_later(
        self,
        stream: PushStream,
        topic: DelegatedTopic,
        acting: Awaitable[Acting],
        over: asyncio.Event,
    ) -> None:
        self._open(stream, topic, await acting)
        await over.wait()

    def _open(self, stream: PushStream, topic: DelegatedTopic, acting: Acting) -> None:
        self._workloads.expire(self._clock.time())
        DelegatedStream(
            workloads=self._workloads,
            delegates=self._delegates,
            fan_out=self._fan_out,
            acting=acting,
            topic=topic,
            stream=stream,
        ).open()

    # --- tokens

    async def FetchJWTSVIDs(
        self, request: pb.FetchJWTSVIDsRequest, context: Any
    ) -> pb.FetchJWTSVIDsResponse:
        audience = tuple(request.audience)
        if not any(audience):
            raise StatusError(grpc.StatusCode.INVALID_ARGUMENT, "audience must be specified")
        acting = self._acting(self._callers.attest(context.caller), request)
        with acting if isinstance(acting, Acting) else await acting as found:
            entries = self._entries(found)
            tokens = await all_tokens([self._tokens.get(entry, audience) for entry in entries])
            self._delegates.verify(found)
            return _response(entries, tokens, self._entries(found))

    def _entries(self, acting: Acting) -> tuple[Entry, ...]:
        view = self._workloads.view(acting.workload)
        entries = self._workloads.delegations.entries_of(view)
        if not entries:
            raise no_identity()
        return entries

    # --- who acts for whom

    def _acting(
        self, caller: Selectors | Awaitable[Selectors], description: Description | None
    ) -> Acting | Awaitable[Acting]:
        if self._workloads.synced and isinstance(caller, tuple):
            return self._delegates.acting(caller, description)
        return self._acting_later(caller, description)

    async def _acting_later(
        self, caller: Selectors | Awaitable[Selectors], description: Description | None
    ) -> Acting:
        acting = self._delegates.acting(await self._early.settle(caller), description)
        return acting if isinstance(acting, Acting) else await acting


def _response(
    entries: Sequence[Entry], tokens: Sequence[HeldToken], granted: Sequence[Entry]
) -> pb.FetchJWTSVIDsResponse:
    """The tokens of the entries that are still granted: fetching them has taken its time."""
    answer = pb.FetchJWTSVIDsResponse(
        svids=[
            types.JWTSVID(
                token=held.token,
                id=types.SPIFFEID(
                    trust_domain=held.spiffe_id.trust_domain.name, path=held.spiffe_id.path
                ),
                expires_at=int(held.expires_at),
                issued_at=int(held.issued_at),
                hint=entry.hint,
            )
            for entry, held in zip(entries, tokens, strict=True)
            if entry in granted
        ]
    )
    if not answer.svids:
        raise no_identity()
    return answer
