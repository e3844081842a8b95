"""Carries out orders for SVIDs: plan, sign, record, and only then answer."""

from __future__ import annotations

import base64
import hashlib
import logging
from typing import TYPE_CHECKING, Any, Protocol

from finial.api.finial import signer_pb2
from finial.runtime.logging import log
from finial.server.authority import AuthorityError
from finial.server.datastore.errors import StoreError
from finial.server.issuance.cuts import Cuts
from finial.server.issuance.orders import (
    DownstreamOrder,
    IssuedJwt,
    IssuedWit,
    IssuedX509,
    IssueError,
    IssueErrorKind,
    JwtOrder,
    WitOrder,
    X509Order,
)
from finial.server.issuance.plan import Lifetimes, Validity, validity
from finial.server.registry.model import IssuedSvid
from finial.server.signer.errors import SignerError
from finial.server.signer.model import AuthorityKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.runtime.clock import Clock
    from finial.runtime.observe import Observer
    from finial.server.authority import Authority

_LOGGER = logging.getLogger(__name__)

_KINDS = {
    "workload": signer_pb2.X509Order.WORKLOAD,
    "agent": signer_pb2.X509Order.AGENT,
    "server": signer_pb2.X509Order.SERVER,
}
_ERRORS = {
    signer_pb2.Refusal.MALFORMED_CSR: IssueErrorKind.MALFORMED_CSR,
    signer_pb2.Refusal.BAD_CSR_SIGNATURE: IssueErrorKind.BAD_CSR_SIGNATURE,
    signer_pb2.Refusal.KEY_TOO_WEAK: IssueErrorKind.KEY_TOO_WEAK,
    signer_pb2.Refusal.POLICY: IssueErrorKind.REFUSED_BY_POLICY,
    signer_pb2.Refusal.MALFORMED_KEY: IssueErrorKind.MALFORMED_KEY,
    signer_pb2.Refusal.KEY_UNFIT: IssueErrorKind.KEY_UNFIT,
}


class Signers(Protocol):
    """What is needed of the signer pool."""

    async def sign_x509(
        self, authority_id: str, orders: Sequence[signer_pb2.X509Order]
    ) -> list[signer_pb2.X509Result]: ...

    async def sign_jwt(
        self, authority_id: str, orders: Sequence[signer_pb2.JwtOrder]
    ) -> list[signer_pb2.JwtResult]: ...

    async def sign_wit(
        self, authority_id: str, orders: Sequence[signer_pb2.WitOrder]
    ) -> list[signer_pb2.WitResult]: ...

    async def sign_downstream(
        self, authority_id: str, orders: Sequence[signer_pb2.DownstreamOrder]
    ) -> list[signer_pb2.X509Result]: ...


class Authorities(Protocol):
    """What is needed of the authority manager."""

    def active(self, kind: AuthorityKind) -> Authority: ...

    async def reserve(self, kind: AuthorityKind, authority_id: str, until: int) -> None: ...

    def is_trusted(self, kind: AuthorityKind, authority_id: str) -> bool: ...


class IssuedRecords(Protocol):
    """What is needed of the store of issued SVIDs; durable on return."""

    async def record(self, svids: Sequence[IssuedSvid]) -> None: ...


class Issuer:
    """Issues SVIDs to whom the caller has found entitled. Whatever fails is an IssueError.

    Attributes:
        cuts: the SVIDs that were issued for a shorter life than was asked for.
    """

    def __init__(
        self,
        *,
        lifetimes: Lifetimes,
        clock: Clock,
        signers: Signers,
        authorities: Authorities,
        issued: IssuedRecords,
        observer: Observer,
    ) -> None:
        self._lifetimes = lifetimes
        self._clock = clock
        self._signers = signers
        self._authorities = authorities
        self._issued = issued
        self._observer = observer
        self.cuts = Cuts()

    async def issue_x509(self, orders: Sequence[X509Order]) -> list[IssuedX509 | IssueError]:
        """Issue X509-SVIDs, one outcome an order, recorded in one go."""
        try:
            return await self._issue_x509(orders)
        except _Unavailable as error:
            return [error.outcome] * len(orders)
        except (SignerError, StoreError, AuthorityError) as error:
            return [_unavailable(error)] * len(orders)

    async def issue_jwt(self, order: JwtOrder) -> IssuedJwt | IssueError:
        """Issue one JWT-SVID."""
        try:
            return await self._issue_jwt(order)
        except _Unavailable as error:
            return error.outcome
        except (SignerError, StoreError, AuthorityError) as error:
            return _unavailable(error)

    async def issue_wit(self, orders: Sequence[WitOrder]) -> list[IssuedWit | IssueError]:
        """Issue WIT-SVIDs, one outcome an order, recorded in one go."""
        try:
            return await self._issue_wit(orders)
        except _Unavailable as error:
            return [error.outcome] * len(orders)
        except (SignerError, StoreError, AuthorityError) as error:
            return [_unavailable(error)] * len(orders)

    async def issue_downstream(self, order: DownstreamOrder) -> IssuedX509 | IssueError:
        """Issue the certificate of a downstream server's authority; the chain has no root."""
        try:
            return await self._issue_downstream(order)
        except _Unavailable as error:
            return error.outcome
        except (SignerError, StoreError, AuthorityError) as error:
            return _unavailable(error)

    async def _issue_downstream(self, order: DownstreamOrder) -> IssuedX509 | IssueError:
        authority = self._authorities.active(AuthorityKind.X509)
        now = self._clock.time()
        life = _validity(self._lifetimes.of_downstream(order.ttl), authority, now)
        await self._authorities.reserve(AuthorityKind.X509, authority.id, life.not_after)
        message = signer_pb2.DownstreamOrder(
            csr=order.csr, not_before=life.not_before, not_after=life.not_after
        )
        (result,) = await self._signers.sign_downstream(authority.id, [message])
        outcome = _x509_outcome(result, life.not_after)
        if isinstance(outcome, IssuedX509):
            record = IssuedSvid(
                kind="x509-ca",
                serial_or_jti=str(outcome.serial),
                spiffe_id=order.caller.trust_domain.id_uri,
                entry_id=order.entry_id,
                expires_at=outcome.not_after,
                issued_at=int(now),
            )
            await self._record([record])
            self._observer.act(
                "downstream authority issued",
                caller=order.caller.uri,
                serial=record.serial_or_jti,
                entry_id=order.entry_id,
                expires_at=outcome.not_after,
            )
        self._check_trusted(AuthorityKind.X509, authority)
        return outcome

    async def _issue_x509(self, orders: Sequence[X509Order]) -> list[IssuedX509 | IssueError]:
        if not orders:
            return []
        authority = self._authorities.active(AuthorityKind.X509)
        now = self._clock.time()
        lives = [
            _validity(self._lifetimes.of_x509(each.kind, each.ttl), authority, now)
            for each in orders
        ]
        # The server's own SVID ends with the process, so nobody needs its authority for it later.
        ends = [
            life.not_after
            for life, order in zip(lives, orders, strict=True)
            if order.kind != "server"
        ]
        if ends:
            await self._authorities.reserve(AuthorityKind.X509, authority.id, max(ends))
        messages = [_x509_message(*pair) for pair in zip(orders, lives, strict=True)]
        results = await self._signers.sign_x509(authority.id, messages)
        outcomes = [
            _x509_outcome(result, life.not_after)
            for result, life in zip(results, lives, strict=True)
        ]
        await self._record_x509(orders, outcomes, int(now))
        self._check_trusted(AuthorityKind.X509, authority)
        for life, outcome in zip(lives, outcomes, strict=True):
            if life.cut and isinstance(outcome, IssuedX509):
                self.cuts.note("x509", authority.id, life)
        return outcomes

    async def _record_x509(
        self,
        orders: Sequence[X509Order],
        outcomes: Sequence[IssuedX509 | IssueError],
        issued_at: int,
    ) -> None:
        records = [
            IssuedSvid(
                kind="x509",
                serial_or_jti=str(outcome.serial),
                spiffe_id=order.spiffe_id.uri,
                entry_id=order.entry_id,
                agent_id=order.agent_id,
                expires_at=outcome.not_after,
                issued_at=issued_at,
            )
            for order, outcome in zip(orders, outcomes, strict=True)
            if isinstance(outcome, IssuedX509)
        ]
        await self._record(records)

    async def _issue_jwt(self, order: JwtOrder) -> IssuedJwt | IssueError:
        authority = self._authorities.active(AuthorityKind.JWT)
        ttl = self._lifetimes.of_jwt(order.ttl)
        life = _validity(ttl, authority, self._clock.time(), backdate=0)
        issued_at, expires_at = life.not_before, life.not_after
        await self._authorities.reserve(AuthorityKind.JWT, authority.id, expires_at)
        message = signer_pb2.JwtOrder(
            spiffe_id=order.spiffe_id.uri,
            audience=order.audience,
            issued_at=issued_at,
            expires_at=expires_at,
            include_jti=order.include_jti,
        )
        (result,) = await self._signers.sign_jwt(authority.id, [message])
        if result.HasField("refusal"):
            return _refusal(result.refusal)
        record = IssuedSvid(
            kind="jwt",
            serial_or_jti=result.jti or _token_name(authority.id, result.token),
            spiffe_id=order.spiffe_id.uri,
            entry_id=order.entry_id,
            agent_id=order.agent_id,
            expires_at=expires_at,
            issued_at=issued_at,
        )
        await self._record([record])
        self._check_trusted(AuthorityKind.JWT, authority)
        self.cuts.note("jwt", authority.id, life)
        return IssuedJwt(result.token, expires_at, issued_at)

    async def _issue_wit(self, orders: Sequence[WitOrder]) -> list[IssuedWit | IssueError]:
        if not orders:
            return []
        authority = self._authorities.active(AuthorityKind.WIT)
        now = self._clock.time()
        lives = [
            _validity(self._lifetimes.of_wit(each.ttl), authority, now, backdate=0)
            for each in orders
        ]
        end = max(life.not_after for life in lives)
        await self._authorities.reserve(AuthorityKind.WIT, authority.id, end)
        messages = [_wit_message(*pair) for pair in zip(orders, lives, strict=True)]
        results = await self._signers.sign_wit(authority.id, messages)
        records = [
            IssuedSvid(
                kind="wit",
                serial_or_jti=result.jti,
                spiffe_id=order.spiffe_id.uri,
                entry_id=order.entry_id,
                agent_id=order.agent_id,
                expires_at=life.not_after,
                issued_at=life.not_before,
            )
            for order, life, result in zip(orders, lives, results, strict=True)
            if not result.HasField("refusal")
        ]
        await self._record(records)
        self._check_trusted(AuthorityKind.WIT, authority)
        for life, result in zip(lives, results, strict=True):
            if not result.HasField("refusal"):
                self.cuts.note("wit", authority.id, life)
        return [_wit_outcome(*pair) for pair in zip(results, lives, strict=True)]

    def _check_trusted(self, kind: AuthorityKind, authority: Authority) -> None:
        """What was signed while its authority was being tainted does not leave.

        Agents replace what they hold when they hear of a taint; this would come after it.
        """
        if not self._authorities.is_trusted(kind, authority.id):
            raise _Unavailable("the signing authority was tainted meanwhile; ask again")

    async def _record(self, records: Sequence[IssuedSvid]) -> None:
        """Durable first: an SVID that nobody knows of could never be revoked."""
        if records:
            await self._issued.record(records)
        for each in records:
            self._observer.act(
                "SVID issued",
                level=logging.DEBUG,
                kind=each.kind,
                spiffe_id=each.spiffe_id,
                serial_or_jti=each.serial_or_jti,
                entry_id=each.entry_id,
                agent_id=each.agent_id,
                expires_at=each.expires_at,
            )


class _Unavailable(Exception):  # noqa: N818  (an outcome on its way out)
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.outcome = IssueError(IssueErrorKind.UNAVAILABLE, message)


def _validity(ttl: int, authority: Authority, now: float, **options: Any) -> Validity:
    found = validity(ttl, authority.not_after, now, **options)
    if found is None:
        raise _Unavailable("the signing authority has expired and is about to be replaced")
    return found


def _x509_message(order: X509Order, life: Validity) -> signer_pb2.X509Order:
    return signer_pb2.X509Order(
        kind=_KINDS[order.kind],
        spiffe_id=order.spiffe_id.uri,
        csr=order.csr,
        dns_names=order.dns_names,
        common_name=order.common_name,
        not_before=life.not_before,
        not_after=life.not_after,
    )


def _x509_outcome(result: signer_pb2.X509Result, not_after: int) -> IssuedX509 | IssueError:
    if result.HasField("refusal"):
        return _refusal(result.refusal)
    return IssuedX509((result.certificate,), int.from_bytes(result.serial, "big"), not_after)


def _wit_message(order: WitOrder, life: Validity) -> signer_pb2.WitOrder:
    return signer_pb2.WitOrder(
        spiffe_id=order.spiffe_id.uri,
        public_key=order.public_key,
        algorithm=order.algorithm,
        issued_at=life.not_before,
        expires_at=life.not_after,
    )


def _wit_outcome(result: signer_pb2.WitResult, life: Validity) -> IssuedWit | IssueError:
    if result.HasField("refusal"):
        return _refusal(result.refusal)
    return IssuedWit(result.token, life.not_after, life.not_before)


def _refusal(refusal: signer_pb2.Refusal) -> IssueError:
    kind = _ERRORS.get(refusal.code, IssueErrorKind.UNAVAILABLE)
    return IssueError(kind, refusal.message)


def _unavailable(error: Exception) -> IssueError:
    # The operator has to hear of it: the error says what is wrong and the way out.
    log(_LOGGER, logging.ERROR, "cannot issue", error=str(error))
    # The caller may be an agent, or nobody yet: the server's paths are not for its eyes.
    text = "the datastore cannot serve now" if isinstance(error, StoreError) else str(error)
    return IssueError(IssueErrorKind.UNAVAILABLE, text)


def _token_name(key_id: str, token: str) -> str:
    """A name for a token without "jti": its key's and a hash, from which no token can be made."""
    digest = hashlib.sha256(token.encode()).digest()[:16]
    return f"{key_id}:{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
