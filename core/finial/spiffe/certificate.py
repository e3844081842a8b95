"""One certificate at a time: loading it, and asking it what SPIFFE cares about.

Whatever `cryptography` may raise for a malformed certificate, these functions raise ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from finial.spiffe import public_key

if TYPE_CHECKING:
    from finial.spiffe.public_key import PublicKey

MAX_DER = 64 << 10
"""Bytes in one certificate; real ones have one or two thousand."""

_E = TypeVar("_E", bound=x509.ExtensionType)

# What cryptography raises for malformed content; Warning where warnings are errors.
_MALFORMED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    Warning,
)


@dataclass(frozen=True, slots=True)
class Validity:
    """When a certificate is valid, Unix seconds, both ends included (RFC 5280 section 4.1.2.5)."""

    not_before: int
    not_after: int

    def covers(self, now: float) -> bool:
        """Whether the certificate is valid at a time."""
        return self.not_before <= now <= self.not_after


def load(der: bytes) -> x509.Certificate:
    """Read exactly one DER certificate, all of it.

    cryptography reads names, extensions and the like when first asked for, and may fail then; a
    certificate that came from here has been asked.

    Raises:
        ValueError: anything else.
    """
    if len(der) > MAX_DER:
        raise ValueError(f"certificate is larger than {MAX_DER} bytes")
    try:
        cert = x509.load_der_x509_certificate(der)
        _ask_everything(cert)
    except _MALFORMED:
        raise ValueError("not a DER certificate") from None
    # The signature is whole bytes (RFC 5280 section 4.1.1.3); cryptography passes over the count of
    # unused bits before it, and so over a change to bytes that nothing signs.
    if der[-len(cert.signature) - 1] != 0:
        raise ValueError("not a DER certificate")
    return cert


def _ask_everything(cert: x509.Certificate) -> None:
    for _ in (cert.version, cert.serial_number, cert.subject, cert.issuer, cert.extensions):
        pass
    validity_of(cert)


def key_of(cert: x509.Certificate) -> PublicKey:
    """The certificate's public key.

    Raises:
        ValueError: not readable, or of a kind or size that is not taken.
    """
    try:
        key = cert.public_key()
    except _MALFORMED:
        raise ValueError("public key is not readable") from None
    return public_key.accept(key)


def refuse_huge_key(cert: x509.Certificate) -> None:
    """Refuse a certificate whose RSA key is above the bounds; any other key passes, as yet unused.

    Raises:
        ValueError: the key is too large.
    """
    try:
        key = cert.public_key()
    except _MALFORMED:
        return  # nothing is ever verified with it
    public_key.refuse_huge(key)


def validity_of(cert: x509.Certificate) -> Validity:
    """When the certificate is valid."""
    return Validity(
        int(cert.not_valid_before_utc.timestamp()), int(cert.not_valid_after_utc.timestamp())
    )


def extension(cert: x509.Certificate, kind: type[_E]) -> x509.Extension[_E] | None:
    """The extension of a kind, or None."""
    try:
        return cert.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def is_ca(cert: x509.Certificate) -> bool:
    """Whether basicConstraints says cA."""
    constraints = extension(cert, x509.BasicConstraints)
    return constraints is not None and constraints.value.ca


def subject_key_id(cert: x509.Certificate) -> bytes:
    """The subject key identifier, empty when there is none."""
    found = extension(cert, x509.SubjectKeyIdentifier)
    return found.value.digest if found else b""


def authority_key_id(cert: x509.Certificate) -> bytes:
    """The key identifier of the issuer, empty when there is none."""
    found = extension(cert, x509.AuthorityKeyIdentifier)
    return (found.value.key_identifier or b"") if found else b""


def uris_of(cert: x509.Certificate) -> list[str]:
    """The URI subject alternative names."""
    names = extension(cert, x509.SubjectAlternativeName)
    return names.value.get_values_for_type(x509.UniformResourceIdentifier) if names else []
