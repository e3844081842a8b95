"""SPIFFE IDs, selectors, SVIDs and statuses between the wire and the domain.

What comes in is checked here once; the errors are `ConversionError` with the text that SPIRE's
callers know, to which each method puts what it was reading in front.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import grpc

from finial.api.spire import types_pb2
from finial.attestors.selector import Selector, SelectorError
from finial.server.issuance.orders import IssuedJwt, IssuedWit, IssuedX509
from finial.spiffe.errors import SpiffeError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain


class ConversionError(ValueError):
    """A field of a message is not what it should be; the text names it."""


OK = types_pb2.Status(code=0, message="OK")
"""The status of an item that went well. Shared: never changed."""


def status(code: grpc.StatusCode, message: str) -> types_pb2.Status:
    """The status of one item of a batch."""
    number: int = code.value[0]
    return types_pb2.Status(code=number, message=message)


def spiffe_id(message: types_pb2.SPIFFEID) -> SpiffeId:
    """The ID in a message of which both fields are checked."""
    if not message.trust_domain and not message.path:
        raise ConversionError("request must specify SPIFFE ID")
    try:
        return SpiffeId.of(_domain(message.trust_domain), message.path)
    except SpiffeError as error:
        raise ConversionError(str(error)) from None


@lru_cache(maxsize=64)
def _domain(name: str) -> TrustDomain:
    """Nearly every ID of a batch is in the same trust domain."""
    return TrustDomain.parse(name)


def workload_id(message: types_pb2.SPIFFEID, own: TrustDomain) -> SpiffeId:
    """An ID that a workload of the trust domain `own` may have."""
    return check_workload_id(spiffe_id(message), own)


def check_workload_id(found: SpiffeId, own: TrustDomain) -> SpiffeId:
    """Returns `found`, when a workload of the trust domain `own` may have it."""
    _check_member(found, own)
    if not found.path:
        raise ConversionError(
            f'"{found}" is not a workload in trust domain "{own}"; path is empty',
        )
    if found.is_reserved:
        raise ConversionError(
            f'"{found}" is not a workload in trust domain "{own}"; '
            "path is in the reserved namespace",
        )
    return found


def member_id(message: types_pb2.SPIFFEID, own: TrustDomain) -> SpiffeId:
    """An ID with a path, a reserved one or not, in the trust domain `own`."""
    found = spiffe_id(message)
    _check_member(found, own)
    if not found.path:
        raise ConversionError(f'"{found}" is not a member of trust domain "{own}"; path is empty')
    return found


def agent_id(message: types_pb2.SPIFFEID, own: TrustDomain) -> SpiffeId:
    """An ID that an agent of the trust domain `own` may have."""
    found = spiffe_id(message)
    _check_member(found, own)
    if not found.path:
        raise ConversionError(f'"{found}" is not an agent in trust domain "{own}"; path is empty')
    if not found.is_agent:
        raise ConversionError(
            f'"{found}" is not an agent in trust domain "{own}"; '
            "path is not in the agent namespace",
        )
    return found


def _check_member(found: SpiffeId, own: TrustDomain) -> None:
    if found.trust_domain != own:
        raise ConversionError(f'"{found}" is not a member of trust domain "{own}"')


def trust_domain(name: str) -> TrustDomain:
    """A trust domain given by bare name or as "spiffe://name"."""
    try:
        return TrustDomain.parse(name)
    except SpiffeError as error:
        raise ConversionError(f"trust domain argument is not valid: {error}") from None


def selector(message: types_pb2.Selector) -> Selector:
    try:
        return Selector(message.type, message.value)
    except SelectorError as error:
        raise ConversionError(str(error)) from None


def selectors(messages: Iterable[types_pb2.Selector]) -> tuple[Selector, ...]:
    """The set of selectors in `messages`, sorted."""
    return tuple(sorted({selector(message) for message in messages}))


def encode_spiffe_id(value: SpiffeId) -> types_pb2.SPIFFEID:
    return types_pb2.SPIFFEID(trust_domain=value.trust_domain.name, path=value.path)


def encode_selectors(values: Sequence[Selector]) -> list[types_pb2.Selector]:
    return [types_pb2.Selector(type=s.type, value=s.value) for s in values]


def encode_x509_svid(value: SpiffeId, svid: IssuedX509, hint: str = "") -> types_pb2.X509SVID:
    return types_pb2.X509SVID(
        cert_chain=svid.chain,
        id=encode_spiffe_id(value),
        expires_at=svid.not_after,
        hint=hint,
    )


def encode_jwt_svid(value: SpiffeId, svid: IssuedJwt, hint: str = "") -> types_pb2.JWTSVID:
    return types_pb2.JWTSVID(
        token=svid.token,
        id=encode_spiffe_id(value),
        expires_at=svid.expires_at,
        issued_at=svid.issued_at,
        hint=hint,
    )


def encode_wit_svid(value: SpiffeId, svid: IssuedWit, hint: str = "") -> types_pb2.WITSVID:
    return types_pb2.WITSVID(
        token=svid.token,
        id=encode_spiffe_id(value),
        expires_at=svid.expires_at,
        issued_at=svid.issued_at,
        hint=hint,
    )
