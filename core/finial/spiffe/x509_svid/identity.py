"""The SPIFFE ID in a certificate (X509-SVID section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.spiffe import certificate
from finial.spiffe.errors import SpiffeIdError, X509SvidError
from finial.spiffe.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from cryptography import x509


def spiffe_id_of(cert: x509.Certificate) -> SpiffeId:
    """The one SPIFFE ID of a certificate, a leaf's or a signing certificate's.

    Raises:
        X509SvidError: no URI name, more than one (even when only one is a SPIFFE ID), or one that
            is no SPIFFE ID.
    """
    uris = certificate.uris_of(cert)
    if not uris:
        raise X509SvidError("certificate contains no URI SAN")  # X509-02
    if len(uris) > 1:
        raise X509SvidError("certificate contains more than one URI SAN")  # X509-02
    try:
        return SpiffeId(uris[0])  # X509-23
    except SpiffeIdError as error:
        raise X509SvidError(f"certificate contains an invalid SPIFFE ID: {error}") from None
