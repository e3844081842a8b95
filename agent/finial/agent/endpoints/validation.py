"""ValidateJWTSVID's answer: which bundles a caller may use, which claims it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import struct_pb2

from finial.api.workload import workload_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from finial.agent.cache.bundles import Bundles
    from finial.agent.cache.views import View
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.jwt_svid import JwtSvid
    from finial.spiffe.trust_domain import TrustDomain

# What a token of a foreign trust domain may always tell; everything else is that domain's own
# business, and its claims could be mistaken for ours.
FOREIGN_CLAIMS = frozenset({"sub", "exp", "aud"})


class CallerBundles:
    """A BundleSource of the own bundle and those that the caller's identities federate with."""

    __slots__ = ("_bundles", "_own", "_view")

    def __init__(self, bundles: Bundles, own: TrustDomain, view: View) -> None:
        self._bundles = bundles
        self._own = own
        self._view = view

    def bundle_for(self, trust_domain: TrustDomain) -> Bundle | None:
        """Return the bundle, None when it is unknown or not for this caller."""
        if trust_domain != self._own and not any(
            trust_domain in entry.federates_with for entry in self._view.entries
        ):
            return None
        encoded = self._bundles.get(trust_domain)
        return None if encoded is None else encoded.bundle


def shown_claims(
    claims: Mapping[str, Any], *, foreign: bool, allowed: Collection[str]
) -> Mapping[str, Any]:
    """Return the claims a caller is shown."""
    if not foreign:
        return claims
    return {
        name: value for name, value in claims.items() if name in FOREIGN_CLAIMS or name in allowed
    }


def response(svid: JwtSvid, claims: Mapping[str, Any]) -> bytes:
    """Return a serialised ValidateJWTSVIDResponse.

    Raises OverflowError for a number that no double can hold.
    """
    message = pb.ValidateJWTSVIDResponse(spiffe_id=svid.id.uri)
    fields = message.claims.fields
    for name, value in claims.items():
        _set(fields[name], value)
    return message.SerializeToString()


def _set(target: struct_pb2.Value, value: Any) -> None:
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, int | float):
        target.number_value = float(value)
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        for item in value:
            _set(target.list_value.values.add(), item)
    else:
        target.struct_value.SetInParent()
        for name, item in value.items():
            _set(target.struct_value.fields[name], item)
