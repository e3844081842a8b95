"""Judge orders, build the documents, check them, sign them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from finial.api.finial import signer_pb2
from finial.server.signer import downstream, template
from finial.server.signer.csr import public_key_of
from finial.server.signer.lint import LintError, lint
from finial.server.signer.refusal import Code, Refused
from finial.server.signer.token import sign_token
from finial.server.signer.wit_token import sign_wit_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.server.signer.authority_key import AuthorityKey
    from finial.server.signer.policy import Policy


class _Unsigned(NamedTuple):
    tbs: bytes
    serial: bytes


def sign_x509(
    orders: Sequence[signer_pb2.X509Order], authority: AuthorityKey, policy: Policy
) -> list[signer_pb2.X509Result | Refused]:
    """Make X509-SVIDs, one outcome an order.

    Refused is what breaks the policy, has a bad request, or does not pass the linter. Each step
    is done for all orders before the next, which keeps its tables in the processor's cache: a
    fifth less time than order by order.
    """
    keys = [_public_key(order, authority, policy) for order in orders]
    unsigned = [
        key if isinstance(key, Refused) else _build(order, key, authority)
        for order, key in zip(orders, keys, strict=True)
    ]
    return [each if isinstance(each, Refused) else _sign(each, authority) for each in unsigned]


def sign_jwt(
    orders: Sequence[signer_pb2.JwtOrder], authority: AuthorityKey, policy: Policy
) -> list[signer_pb2.JwtResult | Refused]:
    """Make JWT-SVIDs, one outcome an order; refused is what breaks the policy."""
    return [_token(order, authority, policy) for order in orders]


def sign_wit(
    orders: Sequence[signer_pb2.WitOrder], authority: AuthorityKey, policy: Policy
) -> list[signer_pb2.WitResult | Refused]:
    """Make WIT-SVIDs, one outcome an order; refused is what breaks the policy, or the key is."""
    return [_wit_token(order, authority, policy) for order in orders]


def sign_downstream(
    orders: Sequence[signer_pb2.DownstreamOrder], authority: AuthorityKey, policy: Policy
) -> list[signer_pb2.X509Result | Refused]:
    """Make certificates of downstream servers' authorities, one outcome an order.

    Refused is what breaks the policy, has a bad request, or does not pass the linter.
    """
    return [_downstream(order, authority, policy) for order in orders]


def _public_key(
    order: signer_pb2.X509Order, authority: AuthorityKey, policy: Policy
) -> bytes | Refused:
    try:
        policy.check_x509(order, authority.record)
        return public_key_of(order.csr)
    except Refused as refused:
        return refused


def _build(
    order: signer_pb2.X509Order, public_key: bytes, authority: AuthorityKey
) -> _Unsigned | Refused:
    dns_names = tuple(order.dns_names)
    leaf = template.Leaf(
        serial=template.random_serial(),
        issuer=authority.issuer,
        authority_key_identifier=authority.key_identifier,
        algorithm=authority.suite.algorithm,
        public_key=public_key,
        spiffe_id=order.spiffe_id,
        dns_names=dns_names,
        common_name=template.common_name(order.common_name, dns_names),
        not_before=order.not_before,
        not_after=order.not_after,
    )
    tbs = template.to_be_signed(leaf)
    try:
        lint(tbs, leaf)
    except LintError as error:
        return Refused(Code.INTERNAL, str(error))
    return _Unsigned(tbs, leaf.serial)


def _sign(unsigned: _Unsigned, authority: AuthorityKey) -> signer_pb2.X509Result:
    signature = authority.sign(unsigned.tbs)
    made = template.certificate(unsigned.tbs, authority.suite.algorithm, signature)
    return signer_pb2.X509Result(certificate=made, serial=unsigned.serial)


def _downstream(
    order: signer_pb2.DownstreamOrder, authority: AuthorityKey, policy: Policy
) -> signer_pb2.X509Result | Refused:
    try:
        policy.check_downstream(order, authority.record)
        public_key = public_key_of(order.csr)
    except Refused as refused:
        return refused
    meant = downstream.DownstreamCa(
        serial=template.random_serial(),
        issuer=authority.name,
        authority_key_identifier=authority.key_identifier,
        algorithm=authority.suite.algorithm,
        public_key=public_key,
        trust_domain=policy.trust_domain.name,
        not_before=order.not_before,
        not_after=order.not_after,
    )
    tbs = downstream.to_be_signed(meant)
    try:
        downstream.check(tbs, meant)
    except LintError as error:
        return Refused(Code.INTERNAL, str(error))
    return _sign(_Unsigned(tbs, meant.serial), authority)


def _token(
    order: signer_pb2.JwtOrder, authority: AuthorityKey, policy: Policy
) -> signer_pb2.JwtResult | Refused:
    try:
        policy.check_jwt(order, authority.record)
    except Refused as refused:
        return refused
    token, jti = sign_token(authority, order, policy.jwt_issuer)
    return signer_pb2.JwtResult(token=token, jti=jti)


def _wit_token(
    order: signer_pb2.WitOrder, authority: AuthorityKey, policy: Policy
) -> signer_pb2.WitResult | Refused:
    try:
        policy.check_wit(order, authority.record)
        token, jti = sign_wit_token(authority, order, policy.wit_issuer)
    except Refused as refused:
        return refused
    return signer_pb2.WitResult(token=token, jti=jti)
