"""What a signer refuses on its own account, even from a server that was taken over.

The rules hold without the registry, without the datastore and without trust in whoever asks: a
document names one ID of this trust domain, no reserved one except by the call that is made for
it, is short-lived, begins now, and never outlives its authority. That no such document is a CA's
certificate is not a rule here: its order has no field that could ask for one. Downstream servers'
authorities are ordered apart, and refused altogether unless the policy has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from finial.api.finial import signer_pb2
from finial.server.signer.names import is_common_name, is_dns_name
from finial.server.signer.refusal import policy_violation
from finial.spiffe.errors import SpiffeIdError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SERVER_PATH = "/spire/server"
_MAX_AUDIENCE = 64
_MAX_AUDIENCE_VALUE = 2048
_SLOTS = {
    signer_pb2.X509: frozenset({"x509-CA-A", "x509-CA-B"}),
    signer_pb2.JWT: frozenset({"JWT-Signer-A", "JWT-Signer-B"}),
    signer_pb2.WIT: frozenset({"WIT-Signer-A", "WIT-Signer-B"}),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits, fixed when the signer starts. Seconds; the fields are those of the message."""

    trust_domain: TrustDomain
    max_x509_ttl: int
    max_jwt_ttl: int
    max_authority_ttl: int
    max_backdate: int
    clock_tolerance: int
    jwt_issuer: str
    wit_issuer: str
    ca_subject: signer_pb2.CaSubject
    downstream_authorities: bool
    now: Callable[[], float]

    def check_x509(self, order: signer_pb2.X509Order, authority: signer_pb2.Authority) -> None:
        """Judge an order for a certificate.

        Raises:
            Refused: the order breaks the policy.
        """
        spiffe_id = self._member(order.spiffe_id)
        _check_path(spiffe_id, order.kind)
        for name in order.dns_names:
            if not is_dns_name(name):
                raise policy_violation(f"{name[:300]!r} is not a DNS name")
        if order.common_name and not is_common_name(order.common_name):
            raise policy_violation("the common name is too long or not printable")
        self._check_times(
            order.not_before, order.not_after, self.max_x509_ttl + self.max_backdate, authority
        )

    def check_jwt(self, order: signer_pb2.JwtOrder, authority: signer_pb2.Authority) -> None:
        """Judge an order for a token.

        Raises:
            Refused: the order breaks the policy.
        """
        _check_path(self._member(order.spiffe_id), signer_pb2.X509Order.WORKLOAD)
        _check_audience(order.audience)
        self._check_times(order.issued_at, order.expires_at, self.max_jwt_ttl, authority)

    def check_wit(self, order: signer_pb2.WitOrder, authority: signer_pb2.Authority) -> None:
        """Judge an order for a token that is bound to a workload's key; the key apart.

        Raises:
            Refused: the order breaks the policy.
        """
        _check_path(self._member(order.spiffe_id), signer_pb2.X509Order.WORKLOAD)
        self._check_times(order.issued_at, order.expires_at, self.max_x509_ttl, authority)

    def check_downstream(
        self, order: signer_pb2.DownstreamOrder, authority: signer_pb2.Authority
    ) -> None:
        """Judge an order for the certificate of a downstream server's authority; the key apart.

        Raises:
            Refused: there are none on this server, or the order breaks the policy.
        """
        if not self.downstream_authorities:
            raise policy_violation("authorities of downstream servers are switched off")
        longest = self.max_authority_ttl + self.max_backdate
        self._check_times(order.not_before, order.not_after, longest, authority)

    def check_authority(self, order: signer_pb2.GenerateAuthority) -> None:
        """Judge the making of an authority.

        Raises:
            Refused: the order breaks the policy.
        """
        if order.slot not in _SLOTS.get(order.kind, frozenset()):
            raise policy_violation(f"{order.slot[:64]!r} is not a slot of that kind of authority")
        longest = self.max_authority_ttl + self.max_backdate
        self._check_times(order.not_before, order.not_after, longest, None)

    def _member(self, uri: str) -> SpiffeId:
        try:
            spiffe_id = SpiffeId.parse(uri)
        except SpiffeIdError as error:
            raise policy_violation(f"not a SPIFFE ID: {error}") from None
        if spiffe_id.trust_domain != self.trust_domain:
            raise policy_violation(f'"{uri}" is not in trust domain "{self.trust_domain}"')
        return spiffe_id

    def _check_times(
        self, start: int, end: int, longest: int, authority: signer_pb2.Authority | None
    ) -> None:
        if not 0 < start < end:
            raise policy_violation("the validity ends before it begins")
        if end - start > longest:
            raise policy_violation(f"a validity of {end - start} s is above the cap of {longest} s")
        if authority is not None and end > authority.not_after:
            raise policy_violation("the validity ends after the authority's")
        if self.clock_tolerance:
            now = self.now()
            earliest = now - self.max_backdate - self.clock_tolerance
            if not earliest <= start <= now + self.clock_tolerance:
                raise policy_violation("the validity does not begin now")


def policy_from(message: signer_pb2.Policy, now: Callable[[], float]) -> Policy:
    """Read the policy a signer is started with; `now` gives the wall clock in Unix seconds.

    Raises:
        SpiffeIdError: the trust domain's name is malformed.
        ValueError: a cap is missing.
    """
    if min(message.max_x509_ttl, message.max_jwt_ttl, message.max_authority_ttl) <= 0:
        raise ValueError("a signer's policy needs a cap on each kind of validity")
    return Policy(
        trust_domain=TrustDomain.parse(message.trust_domain),
        max_x509_ttl=message.max_x509_ttl,
        max_jwt_ttl=message.max_jwt_ttl,
        max_authority_ttl=message.max_authority_ttl,
        max_backdate=message.max_backdate,
        clock_tolerance=message.clock_tolerance,
        jwt_issuer=message.jwt_issuer,
        wit_issuer=message.wit_issuer,
        ca_subject=message.ca_subject,
        downstream_authorities=message.downstream_authorities,
        now=now,
    )


def _check_path(spiffe_id: SpiffeId, kind: int) -> None:
    """X509-SVID section 2: a leaf has a path; SPIRE keeps what is below /spire for itself."""
    if kind == signer_pb2.X509Order.WORKLOAD:
        if not spiffe_id.path or spiffe_id.is_reserved:
            raise policy_violation(f'"{spiffe_id}" is not an ID that a workload may have')
    elif kind == signer_pb2.X509Order.AGENT:
        if not spiffe_id.is_agent:
            raise policy_violation(f'"{spiffe_id}" is not an ID that an agent may have')
    elif kind != signer_pb2.X509Order.SERVER or spiffe_id.path != _SERVER_PATH:
        raise policy_violation(f'"{spiffe_id}" is not an ID that a server may have')


def _check_audience(audience: Iterable[str]) -> None:
    values = list(audience)
    if not values or len(values) > _MAX_AUDIENCE:
        raise policy_violation(f"a token has 1 to {_MAX_AUDIENCE} audiences, not {len(values)}")
    if any(not 0 < len(value) <= _MAX_AUDIENCE_VALUE for value in values):
        raise policy_violation(f"an audience has 1 to {_MAX_AUDIENCE_VALUE} characters")
