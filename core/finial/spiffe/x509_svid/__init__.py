"""X509-SVIDs: holding one, proving one, linting one.

Belongs here: what an X509-SVID is (``svid``), whether a peer's chain proves a SPIFFE ID
(``verify``, on ``path`` and ``name_constraints``), and the profile that issued certificates keep
(``lint``). Building and signing certificates does not: that is the server's signer.
"""

from finial.spiffe.x509_svid.der import split_certificates
from finial.spiffe.x509_svid.identity import spiffe_id_of
from finial.spiffe.x509_svid.lint import lint_authority, lint_leaf
from finial.spiffe.x509_svid.svid import X509Svid
from finial.spiffe.x509_svid.verify import VerifiedX509Svid, verify_chain

__all__ = [
    "VerifiedX509Svid",
    "X509Svid",
    "lint_authority",
    "lint_leaf",
    "spiffe_id_of",
    "split_certificates",
    "verify_chain",
]
