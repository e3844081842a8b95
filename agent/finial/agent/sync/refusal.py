"""Why the server refused a call, in the terms the agent reacts to."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import grpc

from finial.api.spire import types_pb2 as types

if TYPE_CHECKING:
    from finial.runtime.rpc import RpcError

_Reason = types.PermissionDeniedDetails


class Refusal(Enum):
    """What a failed call says about this agent."""

    BANNED = "agent is banned"
    MUST_ATTEST = "agent must attest again"  # expired, not active, not attested, must re-attest
    NONE = "nothing"  # the call failed for another reason; the agent's standing is as before


_MUST_ATTEST = frozenset(
    {
        _Reason.AGENT_EXPIRED,
        _Reason.AGENT_NOT_ACTIVE,
        _Reason.AGENT_NOT_ATTESTED,
        _Reason.AGENT_MUST_REATTEST,
    }
)


def refusal_of(error: RpcError) -> Refusal:
    """Read the reason in a PermissionDenied; one without a reason says nothing about the agent."""
    if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
        return Refusal.NONE
    for packed in error.status_details():
        details = types.PermissionDeniedDetails()
        if packed.Is(details.DESCRIPTOR) and packed.Unpack(details):
            if details.reason == _Reason.AGENT_BANNED:
                return Refusal.BANNED
            if details.reason in _MUST_ATTEST:
                return Refusal.MUST_ATTEST
    return Refusal.NONE
