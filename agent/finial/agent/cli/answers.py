"""What a client makes of an answer before anything of it is used.

An answer without a mandatory field is none (SPIFFE Workload API section 4.5). Of SVIDs with the
same hint the first counts (sections 5.2.1 and 6.2.1).
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from finial.api.workload.workload_pb2 import (
    JWTBundlesResponse,
    JWTSVIDResponse,
    ValidateJWTSVIDResponse,
    X509SVIDResponse,
)
from finial.runtime.cli.failure import FailureError

_X509_FIELDS = ("spiffe_id", "x509_svid", "x509_svid_key", "bundle")
_JWT_FIELDS = ("spiffe_id", "svid")


class _Hinted(Protocol):
    @property
    def hint(self) -> str: ...


_S = TypeVar("_S", bound=_Hinted)


def x509_svids(answer: X509SVIDResponse) -> X509SVIDResponse:
    """The answer with no hint twice. Raises FailureError when something is missing."""
    _require(answer, ("svids",))
    for svid in answer.svids:
        _require(svid, _X509_FIELDS)
    return X509SVIDResponse(
        svids=_first_of_hint(answer.svids),
        crl=answer.crl,
        federated_bundles=answer.federated_bundles,
    )


def jwt_svids(answer: JWTSVIDResponse) -> JWTSVIDResponse:
    """The answer with no hint twice. Raises FailureError when something is missing."""
    _require(answer, ("svids",))
    for svid in answer.svids:
        _require(svid, _JWT_FIELDS)
    return JWTSVIDResponse(svids=_first_of_hint(answer.svids))


def jwt_bundles(answer: JWTBundlesResponse) -> JWTBundlesResponse:
    """The answer. Raises FailureError when there is no bundle in it."""
    _require(answer, ("bundles",))
    return answer


def verdict(answer: ValidateJWTSVIDResponse) -> ValidateJWTSVIDResponse:
    """The answer. Raises FailureError when something is missing."""
    _require(answer, ("spiffe_id", "claims"))
    return answer


def _require(message: Message, fields: Sequence[str]) -> None:
    given = {field.name for field, _ in message.ListFields()}
    for field in fields:
        if field not in given:
            name = type(message).__name__
            raise FailureError(f'the agent gave a {name} without "{field}", which is of no use')


def _first_of_hint(svids: Iterable[_S]) -> list[_S]:
    seen: set[str] = set()
    kept = []
    for svid in svids:
        if svid.hint not in seen:
            kept.append(svid)
        if svid.hint:
            seen.add(svid.hint)
    return kept
