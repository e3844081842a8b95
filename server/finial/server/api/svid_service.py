"""The SVID service: documents for workloads, by entry for agents, by name for operators."""

# The wire names the methods and hands each a context.
# ruff: noqa: N802

from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc

from finial.api.spire import types_pb2
from finial.api.spire.server import svid_pb2
from finial.api.spire.server.svid_pb2_grpc import SVIDServicer
from finial.runtime.rpc import ServerContext, StatusError
from finial.server.api.caller import agent_of
from finial.server.api.convert import (
    OK,
    ConversionError,
    encode_jwt_svid,
    encode_x509_svid,
    status,
    workload_id,
)
from finial.server.api.downstream_ca import DownstreamCas
from finial.server.api.failure import invalid, not_found
from finial.server.api.issuing import Issues, issue_failure, issue_status
from finial.server.api.mint_csr import names_in
from finial.server.api.ratelimit import Limited, RateLimits
from finial.server.api.wit_svids import WitSvids
from finial.server.issuance import IssuedX509, IssueError, JwtOrder, X509Order
from finial.server.registry.index import EntryIndex
from finial.server.registry.model import Agent, Entry
from finial.server.registry.view import AuthorizedView
from finial.spiffe.bundle import BundleSource
from finial.spiffe.trust_domain import TrustDomain

_Results = svid_pb2.BatchNewX509SVIDResponse
_NO_ID: Final = status(grpc.StatusCode.INVALID_ARGUMENT, "missing entry ID")
_NO_CSR: Final = status(grpc.StatusCode.INVALID_ARGUMENT, "missing CSR")
_NO_ENTRY: Final = status(grpc.StatusCode.NOT_FOUND, "entry not found or not authorized")


class SvidService(SVIDServicer):
    """Asks the issuer, once a call however many documents it is for.

    Signing takes time, in which a caller can lose its right: `check_again` raises then, and what
    was signed does not leave. Entries are looked at before: one that is deleted while its SVID is
    being signed is still issued for, that once.
    """

    def __init__(
        self,
        *,
        trust_domain: TrustDomain,
        issuer: Issues,
        index: EntryIndex,
        bundles: BundleSource,
        limits: RateLimits,
        check_again: Callable[[ServerContext], None],
        downstream_enabled: bool = True,
        jwt_enabled: bool = True,
        wit_enabled: bool = False,
    ) -> None:
        self._own = trust_domain
        self._issuer = issuer
        self._index = index
        self._limits = limits
        self._check_again = check_again
        self._jwt_enabled = jwt_enabled
        self._wit = WitSvids(
            trust_domain=trust_domain,
            issuer=issuer,
            index=index,
            limits=limits,
            enabled=wit_enabled,
        )
        self._downstream = DownstreamCas(
            trust_domain=trust_domain,
            issuer=issuer,
            index=index,
            bundles=bundles,
            limits=limits,
            check_again=check_again,
            enabled=downstream_enabled,
        )

    async def MintX509SVID(
        self, request: svid_pb2.MintX509SVIDRequest, context: Any
    ) -> svid_pb2.MintX509SVIDResponse:
        try:
            names = names_in(request.csr, self._own)
        except ConversionError as error:
            raise invalid(str(error)) from None
        order = X509Order(
            kind="workload",
            spiffe_id=names.spiffe_id,
            csr=request.csr,
            dns_names=names.dns_names,
            common_name=names.common_name,
            ttl=_ttl(request.ttl),
        )
        (issued,) = await self._issuer.issue_x509((order,))
        self._check_again(context)
        if isinstance(issued, IssueError):
            raise issue_failure(issued, signature="failed to verify CSR signature")
        return svid_pb2.MintX509SVIDResponse(svid=encode_x509_svid(names.spiffe_id, issued))

    async def MintJWTSVID(
        self, request: svid_pb2.MintJWTSVIDRequest, context: Any
    ) -> svid_pb2.MintJWTSVIDResponse:
        self._check_jwt_enabled()
        try:
            wanted = workload_id(request.id, self._own)
        except ConversionError as error:
            raise invalid(f"invalid SPIFFE ID: {error}") from None
        _check_audience(request.audience)
        order = JwtOrder(spiffe_id=wanted, audience=tuple(request.audience), ttl=_ttl(request.ttl))
        issued = await self._issuer.issue_jwt(order)
        self._check_again(context)
        if isinstance(issued, IssueError):
            raise issue_failure(issued)
        return svid_pb2.MintJWTSVIDResponse(svid=encode_jwt_svid(wanted, issued))

    async def MintWITSVID(
        self, request: svid_pb2.MintWITSVIDRequest, context: Any
    ) -> svid_pb2.MintWITSVIDResponse:
        answer = await self._wit.mint(request)
        self._check_again(context)
        return answer

    async def BatchNewWITSVID(
        self, request: svid_pb2.BatchNewWITSVIDRequest, context: Any
    ) -> svid_pb2.BatchNewWITSVIDResponse:
        answer = await self._wit.batch(request.params, context)
        self._check_again(context)
        return answer

    async def BatchNewX509SVID(
        self, request: svid_pb2.BatchNewX509SVIDRequest, context: Any
    ) -> svid_pb2.BatchNewX509SVIDResponse:
        params = request.params
        if not params:
            raise invalid("missing parameters")
        agent = agent_of(context)
        await self._limits.admit(context, Limited.X509_SIGNING, len(params))
        view = self._index.view(agent.id, agent.selectors)
        results: list[_Results.Result | None] = []
        orders: list[X509Order] = []
        entries: list[Entry] = []
        for item in params:
            found = _entry_for(view, item)
            if isinstance(found, Entry):
                entries.append(found)
                orders.append(_order(found, item.csr, agent))
                results.append(None)
            else:
                results.append(_Results.Result(status=found))
        issued = iter(zip(entries, await self._issuer.issue_x509(orders), strict=True))
        self._check_again(context)
        return svid_pb2.BatchNewX509SVIDResponse(
            results=[_result(*next(issued)) if r is None else r for r in results],
        )

    async def NewJWTSVID(
        self, request: svid_pb2.NewJWTSVIDRequest, context: Any
    ) -> svid_pb2.NewJWTSVIDResponse:
        self._check_jwt_enabled()
        agent = agent_of(context)
        await self._limits.admit(context, Limited.JWT_SIGNING)
        entry = self._index.view(agent.id, agent.selectors).get(request.entry_id)
        if entry is None:
            raise not_found("entry not found or not authorized")
        _check_audience(request.audience)
        order = JwtOrder(
            spiffe_id=entry.spiffe_id,
            audience=tuple(request.audience),
            ttl=entry.jwt_svid_ttl,
            entry_id=entry.id,
            agent_id=agent.id.uri,
            include_jti=entry.jwt_svid_include_jti,
        )
        issued = await self._issuer.issue_jwt(order)
        self._check_again(context)
        if isinstance(issued, IssueError):
            raise issue_failure(issued)
        return svid_pb2.NewJWTSVIDResponse(
            svid=encode_jwt_svid(entry.spiffe_id, issued, entry.hint)
        )

    async def NewDownstreamX509CA(
        self, request: svid_pb2.NewDownstreamX509CARequest, context: Any
    ) -> svid_pb2.NewDownstreamX509CAResponse:
        return await self._downstream.issue(request, context)

    def _check_jwt_enabled(self) -> None:
        if not self._jwt_enabled:
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, "JWT functionality is disabled")


def _entry_for(view: AuthorizedView, item: svid_pb2.NewX509SVIDParams) -> Entry | types_pb2.Status:
    if not item.entry_id:
        return _NO_ID
    if not item.csr:
        return _NO_CSR
    return view.get(item.entry_id) or _NO_ENTRY


def _order(entry: Entry, csr: bytes, agent: Agent) -> X509Order:
    return X509Order(
        kind="workload",
        spiffe_id=entry.spiffe_id,
        csr=csr,
        dns_names=entry.dns_names,
        ttl=entry.x509_svid_ttl,
        entry_id=entry.id,
        agent_id=agent.id.uri,
    )


def _result(
    entry: Entry, issued: IssuedX509 | IssueError
) -> svid_pb2.BatchNewX509SVIDResponse.Result:
    if isinstance(issued, IssueError):
        return _Results.Result(status=issue_status(issued))
    return _Results.Result(status=OK, svid=encode_x509_svid(entry.spiffe_id, issued, entry.hint))


def _check_audience(audience: Sequence[str]) -> None:
    if not audience:
        raise invalid("at least one audience is required")


def _ttl(wanted: int) -> int:
    """Seconds; 0, and what can't be meant, stand for the default."""
    return max(wanted, 0)
