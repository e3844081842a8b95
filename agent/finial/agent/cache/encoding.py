"""Workload API messages, and those for delegates, assembled from parts that are encoded once.

Protocol buffers define the concatenation of two encoded messages as their merge: repeated fields
are appended, map entries added. So each SVID and each bundle is encoded once, as a response that
holds nothing else, and a whole response is those bytes joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.api.spire import types_pb2 as types
from finial.api.spire.agent import delegatedidentity_pb2 as delegated
from finial.api.workload import workload_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from finial.spiffe.bundle import Bundle
    from finial.spiffe.spiffe_id import SpiffeId
    from finial.spiffe.x509_svid import X509Svid


def x509_svid_part(svid: X509Svid, bundle_der: bytes, hint: str) -> bytes:
    """Return an X509SVIDResponse with one SVID: DER chain leaf first, PKCS#8 key, DER roots."""
    message = pb.X509SVIDResponse(
        svids=[
            pb.X509SVID(
                spiffe_id=svid.id.uri,
                x509_svid=b"".join(svid.chain),
                x509_svid_key=svid.key_pkcs8,
                bundle=bundle_der,
                hint=hint,
            )
        ]
    )
    return message.SerializeToString()


def federated_part(bundle: Bundle) -> bytes:
    """Return an X509SVIDResponse with one federated bundle, keyed by its trust domain's ID."""
    message = pb.X509SVIDResponse(federated_bundles={_key(bundle): bundle.x509_der()})
    return message.SerializeToString()


def x509_bundle_part(bundle: Bundle) -> bytes:
    """Return an X509BundlesResponse with one bundle."""
    message = pb.X509BundlesResponse(bundles={_key(bundle): bundle.x509_der()})
    return message.SerializeToString()


def jwt_bundle_part(bundle: Bundle) -> bytes:
    """Return a JWTBundlesResponse with one bundle as a JWK Set."""
    message = pb.JWTBundlesResponse(bundles={_key(bundle): bundle.jwt_jwks()})
    return message.SerializeToString()


def wit_bundle_part(bundle: Bundle) -> bytes:
    """Return a WITBundlesResponse with one bundle as a JWK Set."""
    message = pb.WITBundlesResponse(bundles={_key(bundle): bundle.wit_jwks().decode()})
    return message.SerializeToString()


def wit_svid_part(spiffe_id: SpiffeId, token: str, key_jwk: str, hint: str) -> bytes:
    """Return a WITSVIDResponse with one SVID; its key is a private JWK as text."""
    svid = pb.WITSVID(spiffe_id=spiffe_id.uri, wit_svid=token, wit_svid_key=key_jwk, hint=hint)
    return pb.WITSVIDResponse(svids=[svid]).SerializeToString()


def delegated_svid_part(svid: X509Svid, hint: str) -> bytes:
    """Return a SubscribeToX509SVIDsResponse with one SVID."""
    message = types.X509SVID(
        cert_chain=svid.chain,
        id=types.SPIFFEID(trust_domain=svid.id.trust_domain.name, path=svid.id.path),
        expires_at=int(svid.not_after),
        hint=hint,
    )
    pair = delegated.X509SVIDWithKey(x509_svid=message, x509_svid_key=svid.key_pkcs8)
    return delegated.SubscribeToX509SVIDsResponse(x509_svids=[pair]).SerializeToString()


def delegated_federation(bundles: Iterable[Bundle]) -> bytes:
    """Return a SubscribeToX509SVIDsResponse with the trust domains' IDs and no SVID."""
    names = [_key(bundle) for bundle in bundles]
    return delegated.SubscribeToX509SVIDsResponse(federates_with=names).SerializeToString()


def delegated_x509_bundles(bundles: Iterable[Bundle]) -> bytes:
    """Return a SubscribeToX509BundlesResponse with all of these bundles."""
    found = {_key(bundle): bundle.x509_der() for bundle in bundles}
    message = delegated.SubscribeToX509BundlesResponse(ca_certificates=found)
    return message.SerializeToString(deterministic=True)


def delegated_jwt_bundles(bundles: Iterable[Bundle]) -> bytes:
    """Return a SubscribeToJWTBundlesResponse with all of these bundles as JWK Sets."""
    found = {_key(bundle): bundle.jwt_jwks() for bundle in bundles}
    message = delegated.SubscribeToJWTBundlesResponse(bundles=found)
    return message.SerializeToString(deterministic=True)


def _key(bundle: Bundle) -> str:
    return bundle.trust_domain.id.uri
