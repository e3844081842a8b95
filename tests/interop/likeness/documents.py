"""Certificates and keys as plain data: what is in them, without what is anybody's own."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.interop.transcript import mask

USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


LONG = 1800
NEAR_STEP, FAR_STEP = 60, 600


def coarse(seconds: float) -> int:
    """A span of time: to 1 min, and to 10 min when it is long; no two servers keep step."""
    step = NEAR_STEP if abs(seconds) < LONG else FAR_STEP
    return round(seconds / step) * step


def certificate(der: bytes) -> Any:
    """What a certificate says; None if this is none."""
    try:
        found = x509.load_der_x509_certificate(der)
    except ValueError:
        return None
    lifetime = (found.not_valid_after_utc - found.not_valid_before_utc).total_seconds()
    return {
        "subject": mask(found.subject.rfc4514_string()),
        "issuer": mask(found.issuer.rfc4514_string()),
        "lifetime": coarse(lifetime),
        "key": _key(found.public_key()),
        "signature": found.signature_algorithm_oid.dotted_string,
        "extensions": {
            each.oid.dotted_string: (each.critical, _extension(each.value))
            for each in found.extensions
        },
    }


def _extension(value: x509.ExtensionType) -> Any:
    if isinstance(value, x509.KeyUsage):
        return [name for name in USAGES if getattr(value, name)]
    if isinstance(value, x509.ExtendedKeyUsage):
        return [each.dotted_string for each in value]
    if isinstance(value, x509.BasicConstraints):
        return [value.ca, value.path_length]
    if isinstance(value, x509.SubjectAlternativeName):
        return [str(each.value) for each in value]
    return type(value).__name__


def public_key(der: bytes) -> str | None:
    """The kind of a public key; None if this is none."""
    try:
        return _key(load_der_public_key(der))
    except ValueError:
        return None


def _key(key: Any) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"<KEY {key.curve.name}>"
    return f"<KEY {type(key).__name__}>"
