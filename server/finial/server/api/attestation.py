"""How a node becomes an agent, and stays one: attestation, renewal, status."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

import grpc

from finial.api.spire.server import agent_pb2
from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.attestors.node.interface import (
    AttestError,
    AttestReason,
    NodeAttestation,
    NodeAttestorServer,
)
from finial.runtime.observe import Observer
from finial.runtime.rpc import ServerContext, StatusError
from finial.server.api.caller import agent_of, serial_of
from finial.server.api.convert import encode_x509_svid
from finial.server.api.failure import invalid
from finial.server.api.issuing import Issues, csr_failure
from finial.server.api.ratelimit import Limited, RateLimits
from finial.server.api.settled import Settled
from finial.server.datastore.agents import AgentStore
from finial.server.issuance import IssuedX509, IssueError, X509Order
from finial.server.registry.agents import AgentIndex
from finial.server.registry.errors import AgentBanned, NotFound
from finial.server.registry.model import Agent
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

_MAX_VERSION: Final = 255
_CODES: Final = {
    AttestReason.INVALID_EVIDENCE: grpc.StatusCode.INVALID_ARGUMENT,
    AttestReason.REFUSED: grpc.StatusCode.PERMISSION_DENIED,
    AttestReason.INTERNAL: grpc.StatusCode.INTERNAL,
}
_UNPREFIXED: Final = "join_token"
"""The attestor that SPIRE builds in: its errors come without a plugin's name in front."""

Requests = AsyncIterator[agent_pb2.AttestAgentRequest]


class Attestation:
    """The part of the Agent service that agents call for themselves."""

    def __init__(
        self,
        *,
        trust_domain: TrustDomain,
        attestors: Mapping[str, NodeAttestorServer],
        issuer: Issues,
        store: AgentStore,
        index: AgentIndex,
        settled: Settled,
        limits: RateLimits,
        observer: Observer,
    ) -> None:
        self._own = trust_domain
        self._attestors = attestors
        self._issuer = issuer
        self._store = store
        self._index = index
        self._settled = settled
        self._limits = limits
        self._observer = observer

    async def attest(self, requests: Requests, context: ServerContext) -> None:
        """Judges the evidence, passing on challenges, and answers with the agent's SVID.

        The request for a certificate is looked at only when the evidence has been accepted.
        """
        await self._limits.admit(context, Limited.ATTESTATION)
        params = await _first_params(requests)
        attestor = self._attestor(params.data.type)

        async def challenge(data: bytes) -> bytes:
            await context.write(agent_pb2.AttestAgentResponse(challenge=data))
            request = await anext(requests, None)
            if request is None or request.WhichOneof("step") != "challenge_response":
                raise AttestError(AttestReason.INVALID_EVIDENCE, "expected a challenge response")
            return request.challenge_response

        try:
            attestation = await attestor.attest(params.data.payload, challenge)
        except AttestError as error:
            raise _refused(attestor.type, error) from None
        issued = await self._admit(attestor.type, attestation, params.params.csr)
        svid = encode_x509_svid(attestation.agent_id, issued)
        result = agent_pb2.AttestAgentResponse.Result(
            svid=svid, reattestable=attestation.can_reattest
        )
        await context.write(agent_pb2.AttestAgentResponse(result=result))

    async def renew(
        self, request: agent_pb2.RenewAgentRequest, context: ServerContext
    ) -> agent_pb2.RenewAgentResponse:
        """A new SVID; the old one is good until the new one is used."""
        agent = agent_of(context)
        if not request.HasField("params"):
            raise invalid("params cannot be nil")
        if not request.params.csr:
            raise invalid("missing CSR")
        if agent.can_reattest:
            raise _must_reattest()
        await self._limits.admit(context, Limited.X509_SIGNING, what="renew agent rate limiting")
        issued = await self._issue(agent.id, request.params.csr)
        try:
            await self._store.set_new_serial(
                agent.id, serial_of(context), str(issued.serial), issued.not_after
            )
        except (NotFound, AgentBanned):
            raise _denied(context) from None
        await self._settled()
        self._observer.act("agent renewed", agent_id=agent.id.uri, expires_at=issued.not_after)
        return agent_pb2.RenewAgentResponse(svid=encode_x509_svid(agent.id, issued))

    async def post_status(
        self, request: agent_pb2.PostStatusRequest, context: ServerContext
    ) -> agent_pb2.PostStatusResponse:
        """Keeps what the agent says of itself."""
        agent = agent_of(context)
        if len(request.agent_version) > _MAX_VERSION:
            raise invalid(f"agent version is too long (max {_MAX_VERSION} characters)")
        await self._limits.admit(context, Limited.STATUS)
        if request.agent_version not in {"", agent.agent_version}:
            try:
                await self._store.set_version(agent.id, request.agent_version)
            except NotFound:
                raise _denied(context) from None
            await self._settled()
        return agent_pb2.PostStatusResponse()

    def _attestor(self, kind: str) -> NodeAttestorServer:
        attestor = self._attestors.get(kind)
        if attestor is None:
            raise StatusError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "error getting node attestor: "
                f'could not find node attestor type "{kind[:_MAX_VERSION]}"',
            )
        return attestor

    async def _admit(self, kind: str, attestation: NodeAttestation, csr: bytes) -> IssuedX509:
        """Makes the attested node an agent of this server."""
        agent_id = attestation.agent_id
        if agent_id.trust_domain != self._own or not agent_id.is_agent:
            raise StatusError(grpc.StatusCode.INTERNAL, "invalid agent ID")
        known = self._index.get(agent_id)
        if known is not None and known.banned:
            raise _banned()
        issued = await self._issue(agent_id, csr)
        agent = Agent(
            id=agent_id,
            attestation_type=kind,
            serial_number=str(issued.serial),
            expires_at=issued.not_after,
            selectors=tuple(sorted(set(attestation.selectors))),
            can_reattest=attestation.can_reattest,
        )
        try:
            await self._store.upsert_attested(agent)
        except AgentBanned:
            raise _banned() from None
        await self._settled()
        self._observer.act(
            "agent attested", agent_id=agent_id.uri, attestor=kind, expires_at=issued.not_after
        )
        return issued

    async def _issue(self, agent_id: SpiffeId, csr: bytes) -> IssuedX509:
        order = X509Order(kind="agent", spiffe_id=agent_id, csr=csr, agent_id=agent_id.uri)
        (issued,) = await self._issuer.issue_x509((order,))
        if isinstance(issued, IssueError):
            raise csr_failure(issued)
        return issued


async def _first_params(requests: Requests) -> agent_pb2.AttestAgentRequest.Params:
    first = await anext(requests, None)
    if first is None or not first.HasField("params"):
        raise invalid("malformed param: missing params")
    params = first.params
    missing = (
        (not params.HasField("data"), "attestation data"),
        (not params.data.type, "attestation data type"),
        (not params.data.payload, "attestation data payload"),
        (not params.HasField("params"), "X509-SVID parameters"),
        (not params.params.csr, "CSR"),
    )
    for is_missing, what in missing:
        if is_missing:
            raise invalid(f"malformed param: missing {what}")
    return params


def _refused(kind: str, error: AttestError) -> StatusError:
    prefix = "" if kind == _UNPREFIXED else f"nodeattestor({kind}): "
    return StatusError(_CODES[error.reason], prefix + error.message)


def _banned() -> StatusError:
    return StatusError(grpc.StatusCode.PERMISSION_DENIED, "failed to attest: agent is banned")


def _denied(context: ServerContext) -> StatusError:
    """The agent was banned or evicted while its call ran; its next call tells it more."""
    return StatusError(
        grpc.StatusCode.PERMISSION_DENIED,
        f"authorization denied for method {context.method}",
    )


def _must_reattest() -> StatusError:
    return StatusError(
        grpc.StatusCode.PERMISSION_DENIED,
        "agent must reattest instead of renewing its SVID",
        (PermissionDeniedDetails(reason=PermissionDeniedDetails.AGENT_MUST_REATTEST),),
    )
