"""Bundles between the wire and the domain."""

from collections.abc import Iterable, Sequence
from typing import Final

from finial.api.spire import types_pb2
from finial.server.api.convert import ConversionError
from finial.server.api.masks import hide
from finial.spiffe.bundle import Bundle, JwtAuthority, WitAuthority, X509Authority
from finial.spiffe.errors import BundleError
from finial.spiffe.trust_domain import TrustDomain

_MAX_INT64: Final = (1 << 63) - 1


def encode_bundle(bundle: Bundle, hidden: Sequence[str]) -> types_pb2.Bundle:
    """The message for `bundle` without its `hidden` fields."""
    message = types_pb2.Bundle(
        trust_domain=bundle.trust_domain.name,
        x509_authorities=[
            types_pb2.X509Certificate(asn1=a.der, tainted=a.tainted)
            for a in bundle.x509_authorities
        ],
        jwt_authorities=[_encode_jwt_key(a) for a in bundle.jwt_authorities],
        wit_authorities=[
            types_pb2.WITKey(
                public_key=a.spki_der,
                key_id=a.key_id,
                expires_at=a.expires_at or 0,
                tainted=a.tainted,
            )
            for a in bundle.wit_authorities
        ],
        refresh_hint=min(bundle.refresh_hint, _MAX_INT64),
        sequence_number=bundle.sequence,
    )
    return hide(message, hidden)


def _encode_jwt_key(authority: JwtAuthority) -> types_pb2.JWTKey:
    return types_pb2.JWTKey(
        public_key=authority.spki_der,
        key_id=authority.key_id,
        expires_at=authority.expires_at or 0,
        tainted=authority.tainted,
    )


def decode_bundle(message: types_pb2.Bundle, trust_domain: TrustDomain) -> Bundle:
    """The bundle in `message`, whose name has been read as `trust_domain`.

    Raises:
        ConversionError: an authority or the refresh hint is not valid.
    """
    if message.refresh_hint < 0:
        raise ConversionError("refresh hint is negative")
    return Bundle(
        trust_domain,
        decode_x509_authorities(message.x509_authorities),
        decode_jwt_authorities(message.jwt_authorities),
        decode_wit_authorities(message.wit_authorities),
        sequence=message.sequence_number,
        refresh_hint=message.refresh_hint,
    )


def decode_x509_authorities(
    messages: Iterable[types_pb2.X509Certificate],
) -> tuple[X509Authority, ...]:
    try:
        return tuple(X509Authority.from_der(m.asn1, tainted=m.tainted) for m in messages)
    except BundleError as error:
        raise ConversionError(str(error)) from None


def decode_jwt_authorities(messages: Iterable[types_pb2.JWTKey]) -> tuple[JwtAuthority, ...]:
    try:
        return tuple(
            JwtAuthority.from_spki(
                m.key_id, m.public_key, expires_at=m.expires_at or None, tainted=m.tainted
            )
            for m in messages
        )
    except BundleError as error:
        raise ConversionError(f"unable to parse JWT authority: {error}") from None


def decode_wit_authorities(messages: Iterable[types_pb2.WITKey]) -> tuple[WitAuthority, ...]:
    try:
        return tuple(
            WitAuthority.from_spki(
                m.key_id, m.public_key, expires_at=m.expires_at or None, tainted=m.tainted
            )
            for m in messages
        )
    except BundleError as error:
        raise ConversionError(f"unable to parse WIT authority: {error}") from None
