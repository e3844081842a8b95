"""A caller's PKCS#10 request (RFC 2986): proof that it holds a key, and nothing else.

Names, extensions and attributes of the request are not read: they say what the caller would
like, and the registry says what it gets.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from finial.server.signer.refusal import Code, Refused

MAX_CSR = 65_536
"""Bytes of a request; one with an 8192-bit key and a hundred names has a tenth of it."""

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
"""Above it a verification costs everybody on the same signer dear."""
MAX_RSA_EXPONENT_BITS = 33
"""The same: an exponent as long as the modulus costs a hundred verifications."""

_ECDSA = {
    x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256: ec.ECDSA(hashes.SHA256()),
    x509.SignatureAlgorithmOID.ECDSA_WITH_SHA384: ec.ECDSA(hashes.SHA384()),
    x509.SignatureAlgorithmOID.ECDSA_WITH_SHA512: ec.ECDSA(hashes.SHA512()),
}

_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})


def public_key_of(request: bytes) -> bytes:
    """Verify the request's signature; returns its key as SubjectPublicKeyInfo, DER.

    The key is encoded anew, so no byte of the caller's own encoding reaches a certificate.

    Raises:
        Refused: malformed, badly signed, or a key that is too weak or of an unknown kind.
    """
    if len(request) > MAX_CSR:
        raise Refused(Code.MALFORMED_CSR, f"longer than {MAX_CSR} bytes")
    try:
        parsed = x509.load_der_x509_csr(request)
        key = parsed.public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise Refused(Code.MALFORMED_CSR, _in_short(error)) from None
    _check_strength(key)  # first: what it refuses may be costly to verify
    if not _is_signed(parsed, key):
        raise Refused(Code.BAD_CSR_SIGNATURE, "the request is not signed by the key in it")
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_strength(key: object) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            raise Refused(Code.KEY_TOO_WEAK, f"curve {key.curve.name} is not accepted")
    elif isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise Refused(
                Code.KEY_TOO_WEAK,
                f"RSA keys have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, not {key.key_size}",
            )
        if key.public_numbers().e.bit_length() > MAX_RSA_EXPONENT_BITS:
            raise Refused(Code.KEY_TOO_WEAK, "the RSA key's exponent is too large")
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise Refused(Code.KEY_TOO_WEAK, "the key is neither ECDSA, RSA nor Ed25519")


def _is_signed(request: x509.CertificateSigningRequest, key: object) -> bool:
    scheme = _ECDSA.get(request.signature_algorithm_oid)
    try:
        if scheme is None or not isinstance(key, ec.EllipticCurvePublicKey):
            return request.is_signature_valid
        # is_signature_valid would decode the key a second time, a third of the whole cost.
        key.verify(request.signature, request.tbs_certrequest_bytes, scheme)
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _in_short(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:200]
