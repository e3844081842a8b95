"""Join tokens and the alias entries that come with them."""

import uuid
from typing import Final

import grpc

from finial.api.spire import types_pb2
from finial.api.spire.server import agent_pb2
from finial.runtime.clock import Clock
from finial.runtime.observe import Observer
from finial.runtime.rpc import StatusError
from finial.server.api.convert import ConversionError, workload_id
from finial.server.api.failure import code_of, invalid
from finial.server.api.settled import Settled
from finial.server.datastore.agents import alias_selector
from finial.server.datastore.tokens import TokenStore
from finial.server.registry.errors import RegistryError, SimilarEntryExists, TokenExists
from finial.server.registry.model import Entry, JoinToken
from finial.spiffe.errors import SpiffeError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

_AGENT_PATH: Final = "/spire/agent/join_token/"


class JoinTokens:
    """Makes tokens."""

    def __init__(
        self,
        *,
        trust_domain: TrustDomain,
        clock: Clock,
        tokens: TokenStore,
        settled: Settled,
        observer: Observer,
    ) -> None:
        self._own = trust_domain
        self._clock = clock
        self._tokens = tokens
        self._settled = settled
        self._observer = observer

    async def create(self, request: agent_pb2.CreateJoinTokenRequest) -> types_pb2.JoinToken:
        """A token that lets one agent attest, and its alias entry when one is asked for.

        Raises:
            StatusError: InvalidArgument; AlreadyExists, a token of that value is stored.
        """
        if request.ttl < 1:
            raise invalid("ttl is required, you must provide one")
        token = JoinToken(request.token or str(uuid.uuid4()), int(self._clock.time()) + request.ttl)
        alias = self._alias(request, self._joining_id(token.value))
        try:
            await self._tokens.create(token, alias)
        except (TokenExists, SimilarEntryExists) as error:
            raise StatusError(
                grpc.StatusCode.ALREADY_EXISTS, f"failed to create token: {error}"
            ) from None
        except RegistryError as error:
            raise StatusError(code_of(error), f"failed to create token: {error}") from None
        await self._settled()
        self._observer.act("join token created", expires_at=token.expires_at)
        return types_pb2.JoinToken(value=token.value, expires_at=token.expires_at)

    def _joining_id(self, token: str) -> SpiffeId:
        try:
            return SpiffeId.of(self._own, _AGENT_PATH + token)
        except SpiffeError:
            raise invalid(
                "token cannot be part of a SPIFFE ID: "
                "use letters, digits, dots, dashes and underscores",
            ) from None

    def _alias(self, request: agent_pb2.CreateJoinTokenRequest, joining: SpiffeId) -> Entry | None:
        if not request.HasField("agent_id"):
            return None
        try:
            wanted = workload_id(request.agent_id, self._own)
        except ConversionError as error:
            raise invalid(f"invalid agent ID: {error}") from None
        return Entry(spiffe_id=wanted, parent_id=joining, selectors=(alias_selector(joining),))
