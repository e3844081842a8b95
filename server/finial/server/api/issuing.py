"""What services ask of the issuer, and its refusals in the words that SPIRE's callers know."""

from collections.abc import Sequence
from typing import Final, Protocol

import grpc

from finial.api.spire import types_pb2
from finial.runtime.rpc import StatusError
from finial.server.api.convert import status
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

_CODES: Final = {
    IssueErrorKind.MALFORMED_CSR: grpc.StatusCode.INVALID_ARGUMENT,
    IssueErrorKind.BAD_CSR_SIGNATURE: grpc.StatusCode.INVALID_ARGUMENT,
    IssueErrorKind.KEY_TOO_WEAK: grpc.StatusCode.INVALID_ARGUMENT,
    IssueErrorKind.MALFORMED_KEY: grpc.StatusCode.INVALID_ARGUMENT,
    IssueErrorKind.KEY_UNFIT: grpc.StatusCode.INVALID_ARGUMENT,
    IssueErrorKind.REFUSED_BY_POLICY: grpc.StatusCode.INVALID_ARGUMENT,
    IssueErrorKind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
_WHAT: Final = {
    IssueErrorKind.MALFORMED_CSR: "malformed CSR",
    IssueErrorKind.BAD_CSR_SIGNATURE: "invalid CSR signature",
    IssueErrorKind.KEY_TOO_WEAK: "CSR key is not acceptable",
    IssueErrorKind.MALFORMED_KEY: "malformed public key",
    IssueErrorKind.KEY_UNFIT: "invalid signing algorithm or key type",
    IssueErrorKind.REFUSED_BY_POLICY: "refused by policy",
    IssueErrorKind.UNAVAILABLE: "failed to sign",
}


class Issues(Protocol):
    """Issues documents; what isn't issued is an outcome, too."""

    async def issue_x509(self, orders: Sequence[X509Order]) -> list[IssuedX509 | IssueError]: ...

    async def issue_jwt(self, order: JwtOrder) -> IssuedJwt | IssueError: ...

    async def issue_downstream(self, order: DownstreamOrder) -> IssuedX509 | IssueError: ...

    async def issue_wit(self, orders: Sequence[WitOrder]) -> list[IssuedWit | IssueError]: ...


def issue_status(error: IssueError) -> types_pb2.Status:
    """The status of one item of a batch."""
    return status(_code(error), f"{_WHAT[error.kind]}: {error.message}")


def issue_failure(error: IssueError, *, signature: str = "invalid CSR signature") -> StatusError:
    """The refusal of a whole call; `signature` is how it words a bad signature."""
    what = signature if error.kind is IssueErrorKind.BAD_CSR_SIGNATURE else _WHAT[error.kind]
    return StatusError(_code(error), f"{what}: {error.message}")


def key_failure(error: IssueError) -> StatusError:
    """The refusal of a whole call that named a public key."""
    if error.kind is IssueErrorKind.MALFORMED_KEY:
        return StatusError(_code(error), f"invalid public key: {error.message}")
    return issue_failure(error)


def csr_failure(error: IssueError) -> StatusError:
    """The refusal of an agent's request, of which only the key counts."""
    if error.kind is IssueErrorKind.UNAVAILABLE:
        return issue_failure(error)
    return StatusError(_code(error), f"failed to parse CSR: {error.message}")


def _code(error: IssueError) -> grpc.StatusCode:
    return _CODES[error.kind]
