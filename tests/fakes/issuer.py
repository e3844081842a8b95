"""An issuer without signer processes: signs with a `FakeCa`, and refuses when told to."""

from collections.abc import Sequence

from cryptography.hazmat.primitives.serialization import load_der_public_key

from finial.api.finial import signer_pb2
from finial.server.issuance import (
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
from finial.server.signer.csr import public_key_of
from finial.server.signer.refusal import Refused
from tests.fakes.ca import FakeCa
from tests.fakes.wit import FakeWit


class FakeIssuer:
    """Keeps every order. With `refusal` set, that is the outcome of each."""

    def __init__(self, ca: FakeCa) -> None:
        self.ca = ca
        self.calls: list[Sequence[X509Order]] = []
        self.downstream_orders: list[DownstreamOrder] = []
        self.jwt_orders: list[JwtOrder] = []
        self.wit_calls: list[Sequence[WitOrder]] = []
        self.refusal: IssueError | None = None

    @property
    def x509_orders(self) -> list[X509Order]:
        return [order for orders in self.calls for order in orders]

    async def issue_x509(self, orders: Sequence[X509Order]) -> list[IssuedX509 | IssueError]:
        self.calls.append(orders)
        return [self.refusal or self._issue(order) for order in orders]

    async def issue_jwt(self, order: JwtOrder) -> IssuedJwt | IssueError:
        self.jwt_orders.append(order)
        if self.refusal is not None:
            return self.refusal
        ttl = order.ttl or 300
        now = int(self.ca.now)
        return IssuedJwt(
            self.ca.jwt(order.spiffe_id, list(order.audience), ttl=ttl), now + ttl, now
        )

    async def issue_downstream(self, order: DownstreamOrder) -> IssuedX509 | IssueError:
        self.downstream_orders.append(order)
        if self.refusal is not None:
            return self.refusal
        made = self.ca.intermediate()
        return IssuedX509((made.der,), 1, int(self.ca.now) + (order.ttl or 3600))

    async def issue_wit(self, orders: Sequence[WitOrder]) -> list[IssuedWit | IssueError]:
        self.wit_calls.append(orders)
        return [self.refusal or self._issue_wit(order) for order in orders]

    def _issue_wit(self, order: WitOrder) -> IssuedWit:
        now, ttl = int(self.ca.now), order.ttl or 3600
        token = FakeWit().token(sub=order.spiffe_id.uri, iat=now, exp=now + ttl)
        return IssuedWit(token, now + ttl, now)

    def _issue(self, order: X509Order) -> IssuedX509 | IssueError:
        try:
            key = load_der_public_key(public_key_of(order.csr))
        except Refused as refused:
            kind = IssueErrorKind[signer_pb2.Refusal.Code.Name(refused.code)]
            return IssueError(kind, str(refused))
        svid = self.ca.issue(
            order.spiffe_id,
            ttl=order.ttl or 3600,
            csr_public_key=key,  # type: ignore[arg-type]
            dns_names=order.dns_names,
        )
        return IssuedX509(svid.chain, svid.serial, svid.not_after)
