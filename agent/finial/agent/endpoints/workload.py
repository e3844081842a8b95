"""The SPIFFE Workload API.

Every method checks its arguments, then who is calling, then what that caller may have. Whatever
can be answered from memory is answered without a task.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from finial.agent.cache.tokens import HeldToken
from finial.agent.cache.views import Topic, WitTopic
from finial.agent.endpoints import validation
from finial.agent.endpoints.streams import FanOut, TopicStream, unsupported
from finial.agent.endpoints.tokens import all_tokens
from finial.api.workload import workload_pb2 as pb
from finial.api.workload import workload_pb2_grpc as pb_grpc
from finial.runtime.rpc import StatusError
from finial.spiffe import jwt_svid
from finial.spiffe.errors import JwtSvidError, SpiffeIdError
from finial.spiffe.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Coroutine, Sequence

    from finial.agent.cache.entries import Entry
    from finial.agent.cache.views import AnyTopic, View
    from finial.agent.cache.workloads import Workloads
    from finial.agent.endpoints.callers import CallerAttestor
    from finial.agent.endpoints.early import EarlyCallers
    from finial.agent.endpoints.streams import TellsOf
    from finial.agent.sync.tokens import TokenIssuer
    from finial.attestors.selector import Selector
    from finial.runtime.clock import Clock
    from finial.runtime.rpc import PushStream, ServerContext

    Selectors = tuple[Selector, ...]


class WorkloadApi(pb_grpc.SpiffeWorkloadAPIServicer):
    """Serves workloads from the cache."""

    def __init__(
        self,
        *,
        workloads: Workloads,
        callers: CallerAttestor,
        early: EarlyCallers,
        tokens: TokenIssuer,
        clock: Clock,
        allowed_foreign_claims: Collection[str] = (),
    ) -> None:
        self._trust_domain = workloads.trust_domain
        self._workloads = workloads
        self._callers = callers
        self._early = early
        self._tokens = tokens
        self._clock = clock
        self._allowed_foreign_claims = frozenset(allowed_foreign_claims)
        self._fan_out = FanOut()
        self._proven = jwt_svid.ProvenSignatures()

    # --- streams

    def FetchX509SVID(self, request: pb.X509SVIDRequest, context: Any) -> Any:  # noqa: ARG002, N802
        return self._subscribe(context, Topic.X509_SVID)

    def FetchX509Bundles(self, request: pb.X509BundlesRequest, context: Any) -> Any:  # noqa: ARG002, N802
        return self._subscribe(context, Topic.X509_BUNDLES)

    def FetchJWTBundles(self, request: pb.JWTBundlesRequest, context: Any) -> Any:  # noqa: ARG002, N802
        return self._subscribe(context, Topic.JWT_BUNDLES)

    def FetchWITSVID(self, request: pb.WITSVIDRequest, context: Any) -> Any:  # noqa: N802
        if self._workloads.wits is None:
            raise unsupported(WitTopic())
        wanted = _requested_id(request.spiffe_id) if request.spiffe_id else None
        return self._subscribe(context, WitTopic(wanted))

    def FetchWITBundles(self, request: pb.WITBundlesRequest, context: Any) -> Any:  # noqa: ARG002, N802
        if self._workloads.wits is None:
            raise unsupported(Topic.WIT_BUNDLES)
        return self._subscribe(context, Topic.WIT_BUNDLES)

    def _subscribe(
        self, context: ServerContext, topic: AnyTopic
    ) -> PushStream | Coroutine[None, None, None]:
        selectors = self._callers.attest(context.caller)
        stream = context.push_stream()
        if self._workloads.synced and isinstance(selectors, tuple):
            self._open(stream, topic, selectors)
            return stream
        over = asyncio.Event()
        context.add_done_callback(lambda _context: over.set())
        return self._subscribe_later(stream, topic, selectors, over)

    async def _subscribe_later(
        self,
        stream: PushStream,
        topic: AnyTopic,
        selectors: Selectors | Awaitable[Selectors],
        over: asyncio.Event,
    ) -> None:
        self._open(stream, topic, await self._early.settle(selectors))
        await over.wait()

    def _open(self, stream: PushStream, topic: AnyTopic, selectors: Selectors) -> None:
        self._workloads.expire(self._clock.time())
        TopicStream(
            told_by=self._teller_of(topic),
            fan_out=self._fan_out,
            view=self._workloads.view(selectors),
            topic=topic,
            stream=stream,
        ).open()

    def _teller_of(self, topic: AnyTopic) -> TellsOf:
        wits = self._workloads.wits
        if wits is None or topic.__class__ is Topic:
            return self._workloads
        wits.expire(self._clock.time())
        return wits

    # --- tokens

    def FetchJWTSVID(self, request: pb.JWTSVIDRequest, context: Any) -> Any:  # noqa: N802
        audience = tuple(request.audience)
        if not any(audience):
            raise _invalid("audience must be specified")
        wanted = _requested_id(request.spiffe_id) if request.spiffe_id else None
        selectors = self._callers.attest(context.caller)
        if self._workloads.synced and isinstance(selectors, tuple):
            return self._fetch_tokens(selectors, audience, wanted)
        return self._fetch_tokens_later(selectors, audience, wanted)

    async def _fetch_tokens_later(
        self,
        selectors: Selectors | Awaitable[Selectors],
        audience: Sequence[str],
        wanted: SpiffeId | None,
    ) -> pb.JWTSVIDResponse:
        answer = self._fetch_tokens(await self._early.settle(selectors), audience, wanted)
        return answer if isinstance(answer, pb.JWTSVIDResponse) else await answer

    def _fetch_tokens(
        self, selectors: Selectors, audience: Sequence[str], wanted: SpiffeId | None
    ) -> pb.JWTSVIDResponse | Coroutine[None, None, pb.JWTSVIDResponse]:
        entries = [
            entry
            for entry in self._workloads.view(selectors).entries
            if wanted is None or entry.spiffe_id == wanted
        ]
        if not entries:
            raise StatusError(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
        tokens = [self._tokens.get(entry, audience) for entry in entries]
        ready = [token for token in tokens if isinstance(token, HeldToken)]
        if len(ready) == len(tokens):
            return _token_response(entries, ready)
        return _await_tokens(entries, tokens)

    def ValidateJWTSVID(self, request: pb.ValidateJWTSVIDRequest, context: Any) -> Any:  # noqa: N802
        if not request.audience:
            raise _invalid("audience must be specified")
        if not request.svid:
            raise _invalid("svid must be specified")
        selectors = self._callers.attest(context.caller)
        if self._workloads.synced and isinstance(selectors, tuple):
            return self._validate(request, self._workloads.view(selectors))
        return self._validate_later(request, selectors)

    async def _validate_later(
        self, request: pb.ValidateJWTSVIDRequest, selectors: Selectors | Awaitable[Selectors]
    ) -> bytes:
        return self._validate(request, self._workloads.view(await self._early.settle(selectors)))

    def _validate(self, request: pb.ValidateJWTSVIDRequest, view: View) -> bytes:
        source = validation.CallerBundles(self._workloads.bundles, self._trust_domain, view)
        try:
            svid = jwt_svid.validate(
                request.svid, source, request.audience, self._clock.time(), proven=self._proven
            )
            claims = validation.shown_claims(
                svid.claims,
                foreign=svid.id.trust_domain != self._trust_domain,
                allowed=self._allowed_foreign_claims,
            )
            return validation.response(svid, claims)
        except (JwtSvidError, OverflowError) as error:
            raise _invalid(str(error)) from None


async def _await_tokens(
    entries: Sequence[Entry], tokens: Sequence[HeldToken | Awaitable[HeldToken]]
) -> pb.JWTSVIDResponse:
    return _token_response(entries, await all_tokens(tokens))


def _token_response(entries: Sequence[Entry], tokens: Sequence[HeldToken]) -> pb.JWTSVIDResponse:
    return pb.JWTSVIDResponse(
        svids=[
            pb.JWTSVID(spiffe_id=token.spiffe_id.uri, svid=token.token, hint=entry.hint)
            for entry, token in zip(entries, tokens, strict=True)
        ]
    )


def _requested_id(text: str) -> SpiffeId:
    try:
        return SpiffeId.parse(text)
    except SpiffeIdError as error:
        raise _invalid(f"invalid requested SPIFFE ID: {error}") from None


def _invalid(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)
