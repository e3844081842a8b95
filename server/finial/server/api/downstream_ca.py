"""Authorities of downstream servers: CA certificates for keys that those servers hold.

Who may have one says the gate: the bearer of an SVID with an entry marked `downstream`.
"""

from collections.abc import Callable
from typing import Any

import grpc

from finial.api.spire.server import svid_pb2
from finial.runtime.rpc import ServerContext, StatusError
from finial.server.api.caller import svid_of
from finial.server.api.issuing import Issues, issue_failure
from finial.server.api.ratelimit import Limited, RateLimits
from finial.server.issuance import DownstreamOrder, IssueError, IssueErrorKind
from finial.server.registry.index import EntryIndex
from finial.spiffe.bundle import BundleSource
from finial.spiffe.trust_domain import TrustDomain

_CALLERS_FAULT = frozenset(
    {
        IssueErrorKind.MALFORMED_CSR,
        IssueErrorKind.BAD_CSR_SIGNATURE,
        IssueErrorKind.KEY_TOO_WEAK,
    }
)


class DownstreamCas:
    """Asks the issuer; answers FailedPrecondition where downstream servers are switched off."""

    def __init__(
        self,
        *,
        trust_domain: TrustDomain,
        issuer: Issues,
        index: EntryIndex,
        bundles: BundleSource,
        limits: RateLimits,
        check_again: Callable[[ServerContext], None],
        enabled: bool,
    ) -> None:
        self._own = trust_domain
        self._issuer = issuer
        self._index = index
        self._bundles = bundles
        self._limits = limits
        self._check_again = check_again
        self._enabled = enabled

    async def issue(
        self, request: svid_pb2.NewDownstreamX509CARequest, context: Any
    ) -> svid_pb2.NewDownstreamX509CAResponse:
        """Issue one, and name all authorities that the trust domain has.

        Raises:
            StatusError: switched off, a bad request, or what the issuer refuses.
        """
        if not self._enabled:
            raise StatusError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "downstream authorities are disabled: set downstream_authorities = true",
            )
        caller = svid_of(context).id
        await self._limits.admit(
            context, Limited.X509_SIGNING, what="downstream CA signing rate limit"
        )
        order = DownstreamOrder(
            csr=request.csr,
            caller=caller,
            ttl=max(request.preferred_ttl, 0),
            entry_id=self._index.downstream_entry(caller),
        )
        issued = await self._issuer.issue_downstream(order)
        self._check_again(context)
        if isinstance(issued, IssueError):
            raise _failure(issued)
        bundle = self._bundles.bundle_for(self._own)
        if bundle is None:
            raise StatusError(grpc.StatusCode.NOT_FOUND, "bundle not found")
        return svid_pb2.NewDownstreamX509CAResponse(
            ca_cert_chain=issued.chain,
            x509_authorities=[authority.der for authority in bundle.x509_authorities],
        )


def _failure(error: IssueError) -> StatusError:
    if error.kind in _CALLERS_FAULT:
        return issue_failure(error)
    code = (
        grpc.StatusCode.UNAVAILABLE
        if error.kind is IssueErrorKind.UNAVAILABLE
        else grpc.StatusCode.INTERNAL
    )
    return StatusError(code, f"failed to sign downstream X.509 CA: {error.message}")
