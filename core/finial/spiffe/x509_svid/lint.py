"""The profile of the certificates we issue, one check a rule, named as in the checklist.

Stricter than what a validator must accept: the signer lints what it built before it leaves, and
what a test of the issuer lints, a peer will take. The rules without a checklist name are SPIRE's
habits, which its programs or others have come to rely on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from finial.spiffe import certificate
from finial.spiffe.errors import X509SvidError
from finial.spiffe.x509_svid.identity import spiffe_id_of
from finial.spiffe.x509_svid.path import check_certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.spiffe.public_key import PublicKey
    from finial.spiffe.spiffe_id import SpiffeId
    from finial.spiffe.trust_domain import TrustDomain

_MAX_SERIAL = (1 << 159) - 1
"""Twenty octets, and positive (RFC 5280 section 4.1.2.2)."""


def lint_leaf(
    der: bytes,
    *,
    spiffe_id: SpiffeId,
    issuer: x509.Certificate,
    now: float,
    public_key: PublicKey | None = None,
    dns_names: Sequence[str] = (),
) -> None:
    """Check a leaf that is about to leave, or just left, the signer. Its signature is not checked.

    Args:
        der: the leaf.
        spiffe_id: the identity it was ordered for.
        issuer: the certificate of the key that signs it.
        now: Unix seconds.
        public_key: the key it was ordered for; not compared when None.
        dns_names: the DNS names it was ordered with, in order.

    Raises:
        X509SvidError: the first rule that is broken.
    """
    cert = _load(der)
    _lint_identity(cert, spiffe_id, dns_names)
    _lint_leaf_constraints(cert)
    _lint_leaf_usage(cert)
    _lint_issuer(cert, issuer)
    _lint_common(cert, now)
    _require(
        public_key is None or certificate.key_of(cert) == public_key,
        "leaf has another key than was ordered",
    )


def lint_authority(
    der: bytes,
    *,
    trust_domain: TrustDomain,
    now: float,
    issuer: x509.Certificate | None = None,
) -> None:
    """Check a signing certificate, self-signed unless an issuer is given.

    Raises:
        X509SvidError: the first rule that is broken.
    """
    cert = _load(der)
    # X509-16, -17, -18, ID-20: the trust domain's own ID.
    _require(spiffe_id_of(cert) == trust_domain.id, "authority's ID is not the trust domain's")
    constraints = certificate.extension(cert, x509.BasicConstraints)
    _require(constraints is not None and constraints.value.ca, "authority is not a CA")  # X509-07
    _require(constraints is not None and constraints.critical, "basicConstraints is not critical")
    usage = certificate.extension(cert, x509.KeyUsage)
    _require(usage is not None and usage.critical, "keyUsage is missing or not critical")  # X509-09
    _require(
        usage is not None and usage.value.key_cert_sign, "authority may not sign certificates"
    )  # X509-10
    if issuer is None:
        _require(cert.subject == cert.issuer, "authority is not self-signed")  # X509-28
    else:
        _lint_issuer(cert, issuer)
    _lint_common(cert, now)


def _lint_identity(cert: x509.Certificate, spiffe_id: SpiffeId, dns_names: Sequence[str]) -> None:
    # X509-01, ID-01 to ID-18: exactly one URI name, and it parses.
    _require(spiffe_id_of(cert) == spiffe_id, "leaf has another SPIFFE ID than was ordered")
    _require(bool(spiffe_id.path), "leaf's SPIFFE ID has no path")  # X509-04
    sans = certificate.extension(cert, x509.SubjectAlternativeName)
    if sans is None:
        raise X509SvidError("subjectAltName is missing")
    # X509-05: critical exactly when there is no subject.
    _require(sans.critical == (not cert.subject.rdns), "subjectAltName has the wrong criticality")
    found = sans.value.get_values_for_type(x509.DNSName)
    _require(found == list(dns_names), "leaf has other DNS names than were ordered")
    _require(len(sans.value) == len(found) + 1, "leaf has a name that was not ordered")


def _lint_leaf_constraints(cert: x509.Certificate) -> None:
    # X509-06; present and critical, as SPIRE writes it. Empty follows: a default that is written
    # out, or a path length without cA, was not even read.
    constraints = certificate.extension(cert, x509.BasicConstraints)
    if constraints is None:
        raise X509SvidError("basicConstraints is missing")
    _require(not constraints.value.ca, "leaf is a CA")
    _require(constraints.critical, "basicConstraints is not critical")


def _lint_leaf_usage(cert: x509.Certificate) -> None:
    usage = certificate.extension(cert, x509.KeyUsage)
    if usage is None:
        raise X509SvidError("keyUsage is missing")  # X509-09
    _require(usage.critical, "keyUsage is not critical")  # X509-09
    _require(usage.value.digital_signature, "keyUsage lacks digitalSignature")  # X509-11
    _require(not usage.value.key_cert_sign and not usage.value.crl_sign, "leaf may sign")  # X509-12
    _require(  # X509-11: nothing beyond the three that the standard names
        not usage.value.content_commitment and not usage.value.data_encipherment,
        "keyUsage has more than SVIDs use",
    )
    extended = certificate.extension(cert, x509.ExtendedKeyUsage)
    _require(extended is not None, "extKeyUsage is missing")  # X509-13
    purposes = set(extended.value) if extended else set()
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    _require(purposes == both, "extKeyUsage is not serverAuth and clientAuth")  # X509-14


def _lint_issuer(cert: x509.Certificate, issuer: x509.Certificate) -> None:
    _require(cert.issuer == issuer.subject, "issuer is not the signing certificate's subject")
    key_id = certificate.authority_key_id(cert)
    _require(
        bool(key_id) and key_id == certificate.subject_key_id(issuer),
        "authorityKeyIdentifier is not the signing certificate's subjectKeyIdentifier",
    )
    _require(
        certificate.validity_of(cert).not_after <= certificate.validity_of(issuer).not_after,
        "certificate outlives its issuer",
    )


def _lint_common(cert: x509.Certificate, now: float) -> None:
    check_certificate(cert, now)
    _require(0 < cert.serial_number <= _MAX_SERIAL, "serial number is out of range")
    _require(bool(certificate.subject_key_id(cert)), "subjectKeyIdentifier is missing")
    for extension in cert.extensions:
        identifier = isinstance(
            extension.value, x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier
        )
        _require(not (identifier and extension.critical), "a key identifier is critical")


def _load(der: bytes) -> x509.Certificate:
    try:
        return certificate.load(der)
    except ValueError as error:
        raise X509SvidError(str(error)) from None


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise X509SvidError(complaint)
