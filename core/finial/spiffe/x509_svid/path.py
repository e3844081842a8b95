"""Certification paths: from a leaf over intermediates to a trust anchor.

A subset of RFC 5280 section 6 written on cryptography's primitives. Its own verifier
(``x509.verification``) refuses every chain with a URI name constraint, critical or not, and Ed25519
keys, takes a CA for a leaf under open extension policies, and bounds neither RSA keys nor the
signatures it verifies in a search; a test holds the two against each other where both can judge.

What is checked, cheapest first, so that nobody makes us verify signatures for nothing:

1. at most ``MAX_CERTIFICATES`` certificates, each of bounded size;
2. of every certificate in the path: its validity at the given time, its key's kind and size, no
   critical extension that is not understood (section 4.2);
3. of every CA in the path, the anchor too: cA (4.2.1.9), keyCertSign where keyUsage is present
   (4.2.1.3), pathLenConstraint (4.2.1.9), name constraints (4.2.1.10);
4. issuer name equals subject name, and the signature, by a hash that is not broken; at most
   ``MAX_SIGNATURES`` are verified in a search, one a link in a chain that is in order.

What is not: certificate policies (no policy is asked for; a critical policyConstraints is refused
as not understood), revocation, and extended key usage of CAs, in whose nesting libraries differ
(X509-15): it is not looked at, as in go-spiffe.

Certificates may come in any order and with some that are not needed, as TLS 1.3 allows; the first
is the leaf. An anchor may be an intermediate CA, and its own signature is not verified.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from finial.spiffe import certificate
from finial.spiffe.errors import X509SvidError
from finial.spiffe.x509_svid import name_constraints

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_CERTIFICATES = 10
"""In a chain as presented, and in a path without its anchor."""
MAX_SIGNATURES = 16
"""Verified for one chain, failed ones counted: about 3 ms of ECDSA."""

_UNDERSTOOD = frozenset(
    {
        x509.AuthorityKeyIdentifier.oid,
        x509.BasicConstraints.oid,
        x509.CertificatePolicies.oid,
        x509.ExtendedKeyUsage.oid,
        x509.KeyUsage.oid,
        x509.NameConstraints.oid,
        x509.SubjectAlternativeName.oid,
        x509.SubjectKeyIdentifier.oid,
    }
)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(slots=True)
class _Search:
    """One search for a path; owned by the call that makes it."""

    anchors: Sequence[x509.Certificate]
    intermediates: Sequence[x509.Certificate]
    now: float
    signatures_left: int = MAX_SIGNATURES
    complaint: X509SvidError | None = field(default=None)

    def extend(self, path: list[x509.Certificate]) -> list[x509.Certificate] | None:
        """Complete a path, depth first; anchors before intermediates."""
        for anchor in _by_key_id(path[-1], self.anchors):
            if self._issues(anchor, path):
                return [*path, anchor]
        for candidate in _by_key_id(path[-1], self.intermediates):
            if candidate not in path and self._issues(candidate, path):
                found = self.extend([*path, candidate])
                if found is not None:
                    return found
        return None

    def _issues(self, issuer: x509.Certificate, path: list[x509.Certificate]) -> bool:
        try:
            check_certificate(issuer, self.now)
            _check_authority(issuer, path)
            self._verify_signature(path[-1], issuer)
        except X509SvidError as error:
            self.complaint = error
            return False
        return True

    def _verify_signature(self, cert: x509.Certificate, issuer: x509.Certificate) -> None:
        _check_signature_algorithm(cert, issuer)
        if self.signatures_left == 0:
            raise X509SvidError("chain needs too many signatures verified")
        self.signatures_left -= 1
        try:
            cert.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            raise X509SvidError("certificate signature is invalid") from None


def find_path(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    now: float,
) -> list[x509.Certificate]:
    """Find a valid path, leaf first, anchor last.

    The leaf is taken to have passed ``check_certificate``.

    Raises:
        X509SvidError: there is none; the message says what stood in the way last.
    """
    search = _Search(anchors, intermediates, now)
    path = search.extend([leaf])
    if path is None:
        raise search.complaint or X509SvidError("certificate signed by unknown authority")
    return path


def check_certificate(cert: x509.Certificate, now: float) -> None:
    """What holds for every certificate of a path.

    Raises:
        X509SvidError: not valid now, a key that is not taken, or an unknown critical extension.
    """
    validity = certificate.validity_of(cert)
    if now < validity.not_before:
        raise X509SvidError("certificate is not yet valid")
    if not validity.covers(now):
        raise X509SvidError("certificate has expired")
    try:
        certificate.key_of(cert)
    except ValueError as error:
        raise X509SvidError(f"certificate's {error}") from None
    for extension in cert.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            oid = extension.oid.dotted_string
            raise X509SvidError(f"certificate has the unknown critical extension {oid}")


def _check_authority(ca: x509.Certificate, below: list[x509.Certificate]) -> None:
    """What holds for a certificate that others are signed with; `below` is leaf first."""
    constraints = certificate.extension(ca, x509.BasicConstraints)
    if constraints is None or not constraints.value.ca:
        raise X509SvidError("issuing certificate is not a CA")
    usage = certificate.extension(ca, x509.KeyUsage)
    if usage is not None and not usage.value.key_cert_sign:
        raise X509SvidError("issuing certificate may not sign certificates")
    limit = constraints.value.path_length
    # Self-issued certificates do not count (RFC 5280 section 4.2.1.9), nor does the leaf.
    if limit is not None and sum(c.subject != c.issuer for c in below[1:]) > limit:
        raise X509SvidError("chain is longer than a CA's path length allows")
    name_constraints.check(ca, below)


def _check_signature_algorithm(cert: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        algorithm = cert.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        raise X509SvidError("certificate's signature algorithm is unknown") from None
    # Ed25519 names no hash.
    if isinstance(algorithm, _HASHES) or (
        algorithm is None and isinstance(issuer.public_key(), Ed25519PublicKey)
    ):
        return
    raise X509SvidError("certificate's signature algorithm is not accepted")


def _by_key_id(
    cert: x509.Certificate, candidates: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    """Those that bear the issuer's name, with the issuer's key identifier first.

    The identifier is a hint: a CA that was renewed may have another (RFC 5280 section 4.2.1.1).
    """
    named = [c for c in candidates if c.subject == cert.issuer]
    wanted = certificate.authority_key_id(cert)
    return sorted(named, key=lambda c: certificate.subject_key_id(c) != wanted)
