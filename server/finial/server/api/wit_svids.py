"""WIT-SVIDs of the SVID service: by name for operators, by entry for agents."""

from collections.abc import Sequence
from typing import Any, Final

import grpc

from finial.api.spire import types_pb2
from finial.api.spire.server import svid_pb2
from finial.runtime.rpc import StatusError
from finial.server.api.caller import agent_of
from finial.server.api.convert import (
    OK,
    ConversionError,
    encode_wit_svid,
    status,
    workload_id,
)
from finial.server.api.failure import invalid
from finial.server.api.issuing import Issues, issue_status, key_failure
from finial.server.api.ratelimit import Limited, RateLimits
from finial.server.issuance import IssuedWit, IssueError, WitOrder
from finial.server.registry.index import EntryIndex
from finial.server.registry.model import Agent, Entry
from finial.server.registry.view import AuthorizedView
from finial.spiffe.trust_domain import TrustDomain

_Result = svid_pb2.BatchNewWITSVIDResponse.Result
_NO_ID: Final = status(grpc.StatusCode.INVALID_ARGUMENT, "missing entry ID")
_NO_KEY: Final = status(grpc.StatusCode.INVALID_ARGUMENT, "missing public key")
_NO_ENTRY: Final = status(grpc.StatusCode.NOT_FOUND, "entry not found or not authorized")


class WitSvids:
    """Asks the issuer, once a call; answers Unimplemented where WIT-SVIDs are switched off.

    An agent learns from that answer, as from a bundle without WIT keys, that there are none.
    """

    def __init__(
        self,
        *,
        trust_domain: TrustDomain,
        issuer: Issues,
        index: EntryIndex,
        limits: RateLimits,
        enabled: bool,
    ) -> None:
        self._own = trust_domain
        self._issuer = issuer
        self._index = index
        self._limits = limits
        self._enabled = enabled

    async def mint(self, request: svid_pb2.MintWITSVIDRequest) -> svid_pb2.MintWITSVIDResponse:
        """Issue a WIT-SVID for any workload ID of the trust domain."""
        self._check_enabled()
        try:
            wanted = workload_id(request.id, self._own)
        except ConversionError as error:
            raise invalid(f"invalid SPIFFE ID: {error}") from None
        order = WitOrder(
            spiffe_id=wanted,
            public_key=request.public_key,
            algorithm=request.signing_algorithm,
            ttl=max(request.ttl, 0),
        )
        (issued,) = await self._issuer.issue_wit((order,))
        if isinstance(issued, IssueError):
            raise key_failure(issued)
        return svid_pb2.MintWITSVIDResponse(svid=encode_wit_svid(wanted, issued))

    async def batch(
        self, params: Sequence[svid_pb2.NewWITSVIDParams], context: Any
    ) -> svid_pb2.BatchNewWITSVIDResponse:
        """Issue WIT-SVIDs for entries of the calling agent; each result has its own status."""
        if not params:
            raise invalid("missing parameters")
        self._check_enabled()
        agent = agent_of(context)
        await self._limits.admit(context, Limited.WIT_SIGNING, len(params))
        view = self._index.view(agent.id, agent.selectors)
        found = [_entry_for(view, item) for item in params]
        orders = [
            _order(entry, item, agent)
            for entry, item in zip(found, params, strict=True)
            if isinstance(entry, Entry)
        ]
        issued = iter(await self._issuer.issue_wit(orders))
        return svid_pb2.BatchNewWITSVIDResponse(
            results=[
                _result(each, next(issued)) if isinstance(each, Entry) else _Result(status=each)
                for each in found
            ]
        )

    def _check_enabled(self) -> None:
        if not self._enabled:
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, "WIT functionality is disabled")


def _entry_for(view: AuthorizedView, item: svid_pb2.NewWITSVIDParams) -> Entry | types_pb2.Status:
    if not item.entry_id:
        return _NO_ID
    if not item.public_key:
        return _NO_KEY
    return view.get(item.entry_id) or _NO_ENTRY


def _order(entry: Entry, item: svid_pb2.NewWITSVIDParams, agent: Agent) -> WitOrder:
    return WitOrder(
        spiffe_id=entry.spiffe_id,
        public_key=item.public_key,
        algorithm=item.signing_algorithm,
        ttl=entry.x509_svid_ttl,
        entry_id=entry.id,
        agent_id=agent.id.uri,
    )


def _result(entry: Entry, issued: IssuedWit | IssueError) -> _Result:
    if isinstance(issued, IssueError):
        return _Result(status=issue_status(issued))
    return _Result(status=OK, svid=encode_wit_svid(entry.spiffe_id, issued, entry.hint))
