"""Federation relationships between the wire and the domain."""

from collections.abc import Sequence

from finial.api.spire import types_pb2
from finial.server.api.bundle_codec import decode_bundle, encode_bundle
from finial.server.api.convert import ConversionError
from finial.server.api.masks import hide
from finial.server.datastore.relationships import Federated
from finial.spiffe.bundle import Bundle
from finial.spiffe.errors import FederationError, SpiffeIdError
from finial.spiffe.federation import BundleUrl, Profile, Relationship
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain


def encode_relationship(
    found: Federated, hidden: Sequence[str]
) -> types_pb2.FederationRelationship:
    """The message for a relationship without its `hidden` fields.

    The name of the profile's oneof hides whichever member is set.
    """
    relationship = found.relationship
    message = types_pb2.FederationRelationship(
        trust_domain=relationship.trust_domain.name, bundle_endpoint_url=relationship.url.text
    )
    if relationship.endpoint_id is None:
        message.https_web.SetInParent()
    else:
        message.https_spiffe.endpoint_spiffe_id = relationship.endpoint_id.uri
    if found.bundle is not None and "trust_domain_bundle" not in hidden:
        message.trust_domain_bundle.CopyFrom(encode_bundle(found.bundle, ()))
    return hide(message, hidden)


def decode_relationship(message: types_pb2.FederationRelationship) -> Federated:
    """The relationship in a message, with the bundle that came along.

    Raises:
        ConversionError: a field is missing or malformed.
    """
    trust_domain = _trust_domain(message.trust_domain)
    try:
        url = BundleUrl(message.bundle_endpoint_url)
        profile, endpoint_id = _profile(message)
        relationship = Relationship(trust_domain, url, profile, endpoint_id)
    except FederationError as error:
        raise ConversionError(str(error)) from None
    bundle = None
    if message.HasField("trust_domain_bundle"):
        bundle = _bundle(message.trust_domain_bundle, trust_domain)
    return Federated(relationship, bundle)


def _profile(message: types_pb2.FederationRelationship) -> tuple[Profile, SpiffeId | None]:
    kind = message.WhichOneof("bundle_endpoint_profile")
    if kind is None:
        raise ConversionError("unsupported bundle endpoint profile type: <nil>")
    if kind == "https_web":
        return Profile.HTTPS_WEB, None
    try:
        return Profile.HTTPS_SPIFFE, SpiffeId.parse(message.https_spiffe.endpoint_spiffe_id)
    except SpiffeIdError as error:
        raise ConversionError(f"failed to parse endpoint SPIFFE ID: {error}") from None


def _bundle(message: types_pb2.Bundle, trust_domain: TrustDomain) -> Bundle:
    try:
        named = TrustDomain.parse(message.trust_domain)
    except SpiffeIdError as error:
        raise ConversionError(f"failed to parse bundle: invalid trust domain: {error}") from None
    try:
        bundle = decode_bundle(message, named)
    except ConversionError as error:
        raise ConversionError(f"failed to parse bundle: {error}") from None
    if named != trust_domain:
        raise ConversionError(
            f'trust domain bundle ("{message.trust_domain}") must match the trust domain of the '
            f'federation relationship ("{trust_domain}")'
        )
    return bundle


def _trust_domain(name: str) -> TrustDomain:
    try:
        return TrustDomain.parse(name)
    except SpiffeIdError as error:
        raise ConversionError(f"failed to parse trust domain: {error}") from None
