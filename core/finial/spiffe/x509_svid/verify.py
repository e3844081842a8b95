"""Whether a chain of certificates proves a SPIFFE ID (X509-SVID section 5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from finial.spiffe import certificate
from finial.spiffe.errors import X509SvidError
from finial.spiffe.x509_svid.identity import spiffe_id_of
from finial.spiffe.x509_svid.path import MAX_CERTIFICATES, check_certificate, find_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.spiffe.bundle import BundleSource
    from finial.spiffe.spiffe_id import SpiffeId


@dataclass(frozen=True, slots=True)
class VerifiedX509Svid:
    """A SPIFFE ID that a chain proved, at the time and against the bundle it was held to.

    Attributes:
        id: the SPIFFE ID.
        leaf: the leaf certificate.
        serial: the leaf's serial number.
        not_after: when the first certificate of the path expires, Unix seconds: the proof is void
            from then on.
        root_der: the trust anchor that it ends at; void as well once the bundle has it no more.
    """

    id: SpiffeId
    leaf: x509.Certificate = field(repr=False)
    serial: int
    not_after: float
    root_der: bytes = field(repr=False)


def verify_chain(chain_der: Sequence[bytes], bundles: BundleSource, now: float) -> VerifiedX509Svid:
    """Decide whether a peer's chain proves a SPIFFE ID.

    The invariants:

    - the leaf is a leaf: no CA, may sign neither certificates nor CRLs (X509-19, -21, -22);
    - it has exactly one URI name, a SPIFFE ID with a path (X509-02, -04, -23);
    - only the bundle of that ID's own trust domain counts, never another's (X509-31), and a trust
      domain without X.509 authorities trusts nothing (X509-30);
    - a path as ``path`` has it leads to one of its authorities (X509-20).

    Args:
        chain_der: DER certificates, leaf first.
        bundles: where the trust domain's bundle is found.
        now: Unix seconds.

    Raises:
        X509SvidError: anything else; no other exception, whatever the bytes.
    """
    certs = _load(chain_der)
    leaf = certs[0]
    _check_leaf(leaf)
    spiffe_id = spiffe_id_of(leaf)
    if not spiffe_id.path:
        raise X509SvidError("a trust domain's own ID is no workload's")  # X509-04
    anchors = _anchors(spiffe_id, bundles)
    check_certificate(leaf, now)
    path = find_path(leaf, certs[1:], anchors, now)
    return VerifiedX509Svid(
        id=spiffe_id,
        leaf=leaf,
        serial=leaf.serial_number,
        not_after=float(min(certificate.validity_of(cert).not_after for cert in path)),
        root_der=path[-1].public_bytes(Encoding.DER),
    )


def _load(chain_der: Sequence[bytes]) -> list[x509.Certificate]:
    if not chain_der:
        raise X509SvidError("no certificate presented")
    if len(chain_der) > MAX_CERTIFICATES:
        raise X509SvidError(f"chain has more than {MAX_CERTIFICATES} certificates")
    try:
        return [certificate.load(der) for der in chain_der]
    except ValueError as error:
        raise X509SvidError(str(error)) from None


def _check_leaf(leaf: x509.Certificate) -> None:
    if certificate.is_ca(leaf):
        raise X509SvidError("leaf certificate is a CA")  # X509-19, X509-21
    usage = certificate.extension(leaf, x509.KeyUsage)
    if usage is not None and usage.value.key_cert_sign:
        raise X509SvidError("leaf certificate may sign certificates")  # X509-22
    if usage is not None and usage.value.crl_sign:
        raise X509SvidError("leaf certificate may sign CRLs")  # X509-22


def _anchors(spiffe_id: SpiffeId, bundles: BundleSource) -> list[x509.Certificate]:
    trust_domain = spiffe_id.trust_domain
    bundle = bundles.bundle_for(trust_domain)
    if bundle is None or bundle.trust_domain != trust_domain:  # X509-31
        raise X509SvidError(f'no X.509 bundle found for trust domain "{trust_domain}"')
    if not bundle.x509_authorities:  # X509-30, BND-07
        raise X509SvidError(f'no X.509 authorities in the bundle of "{trust_domain}"')
    return [authority.cert for authority in bundle.x509_authorities]
