"""A daemon's own certificate chain, as it shows it to its operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.x509.oid import NameOID

from finial.spiffe import certificate
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import verify_chain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.spiffe.bundle import BundleSource

_NAMES: Final = {NameOID.SERIAL_NUMBER: "SERIALNUMBER"}


class ShownCertificate(NamedTuple):
    """One certificate: its SPIFFE ID if it has one, its end in Unix seconds, its subject."""

    id: SpiffeId | None
    expires_at: int
    subject: str


def shown_chain(
    chain: Sequence[bytes], bundles: BundleSource, now: float
) -> list[ShownCertificate]:
    """Return the chain, DER and leaf first, up to and with the authority that it ends at.

    Raises SpiffeError when it does not verify.
    """
    verified = verify_chain(chain, bundles, now)
    return [_shown(der) for der in (*chain, verified.root_der)]


def _shown(der: bytes) -> ShownCertificate:
    cert = certificate.load(der)
    uris = certificate.uris_of(cert)
    return ShownCertificate(
        SpiffeId.parse(uris[0]) if len(uris) == 1 else None,
        certificate.validity_of(cert).not_after,
        cert.subject.rfc4514_string(_NAMES),
    )
