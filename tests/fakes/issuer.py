"""An issuer without signer processes: signs with a `FakeCa`, and refuses when told to."""

from collections.abc import Sequence

from cryptography import x509

from finial.server.issuance import (
    IssuedJwt,
    IssuedX509,
    IssueError,
    IssueErrorKind,
    JwtOrder,
    X509Order,
)
from tests.fakes.ca import FakeCa


class FakeIssuer:
    """Keeps every order. With `refusal` set, that is the outcome of each."""

    def __init__(self, ca: FakeCa) -> None:
        self.ca = ca
        self.calls: list[Sequence[X509Order]] = []
        self.jwt_orders: list[JwtOrder] = []
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

    def _issue(self, order: X509Order) -> IssuedX509 | IssueError:
        try:
            request = x509.load_der_x509_csr(order.csr)
        except ValueError:
            return IssueError(IssueErrorKind.MALFORMED_CSR, "not a certificate request")
        if not request.is_signature_valid:
            return IssueError(IssueErrorKind.BAD_CSR_SIGNATURE, "signed by another key")
        svid = self.ca.issue(
            order.spiffe_id,
            ttl=order.ttl or 3600,
            csr_public_key=request.public_key(),  # type: ignore[arg-type]
            dns_names=order.dns_names,
        )
        return IssuedX509(svid.chain, svid.serial, svid.not_after)
