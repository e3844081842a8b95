"""Workload API messages, assembled from parts that are encoded once.

Protocol buffers define the concatenation of two encoded messages as their merge: repeated fields
are appended, map entries added. So each SVID and each bundle is encoded once, as a response that
holds nothing else, and a whole response is those bytes joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.api.workload import workload_pb2 as pb

if TYPE_CHECKING:
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


def _key(bundle: Bundle) -> str:
    return bundle.trust_domain.id.uri
