"""The certificate that is signed for others: the leaf of an X509-SVID (X509-SVID section 4).

It is written as DER straight from this template, since that costs a tenth of a general builder's
time; `lint` reads the result back with a parser that nobody here wrote.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache

from finial.server.signer import der
from finial.server.signer.names import MAX_COMMON_NAME

SERIAL_SIZE = 16
"""Octets of a serial number: at most 20 are allowed (RFC 5280 section 4.1.2.2)."""

VERSION_3 = der.tlv(0xA0, der.integer(2))
EXTENSIONS = 0xA3
_DNS_NAME = 0x82
URI = 0x86
_KEY_IDENTIFIER = 0x80

SAN = der.oid("2.5.29.17")
SKI = der.oid("2.5.29.14")
_AKI = der.oid("2.5.29.35")
_COMMON_NAME = der.oid("2.5.4.3")


def extension(identifier: bytes, value: bytes, *, critical: bool = False) -> bytes:
    """An Extension (RFC 5280 section 4.1), its value already encoded."""
    marks = der.TRUE if critical else b""
    return der.sequence(identifier, marks, der.tlv(der.OCTET_STRING, value))


def _attribute(identifier: bytes, tag: int, value: str) -> bytes:
    return der.tlv(der.SET, der.sequence(identifier, der.tlv(tag, value.encode())))


_SUBJECT = _attribute(der.oid("2.5.4.6"), der.PRINTABLE_STRING, "US") + _attribute(
    der.oid("2.5.4.10"), der.UTF8_STRING, "SPIRE"
)

# Bits 0, 2 and 4: digitalSignature, keyEncipherment, keyAgreement; the last three are unused.
_KEY_USAGE = extension(
    der.oid("2.5.29.15"), der.tlv(der.BIT_STRING, bytes((3, 0b1010_1000))), critical=True
)
_EXTENDED_KEY_USAGE = extension(
    der.oid("2.5.29.37"),
    der.sequence(der.oid("1.3.6.1.5.5.7.3.1"), der.oid("1.3.6.1.5.5.7.3.2")),
)
_NOT_A_CA = extension(der.oid("2.5.29.19"), der.sequence(), critical=True)
_FIXED = _KEY_USAGE + _EXTENDED_KEY_USAGE + _NOT_A_CA


@dataclass(frozen=True, slots=True)
class Leaf:
    """Everything that differs between two leaves of one trust domain.

    Attributes:
        serial: 16 octets, big-endian.
        issuer: the CA's subject, DER.
        authority_key_identifier: the CA's subject key identifier.
        algorithm: AlgorithmIdentifier of the signature, DER.
        public_key: SubjectPublicKeyInfo, DER.
        spiffe_id: the URI SAN.
        dns_names: further SANs.
        common_name: empty for none.
        not_before: Unix seconds.
        not_after: Unix seconds.
    """

    serial: bytes
    issuer: bytes
    authority_key_identifier: bytes
    algorithm: bytes
    public_key: bytes
    spiffe_id: str
    dns_names: tuple[str, ...]
    common_name: str
    not_before: int
    not_after: int

    @property
    def subject_key_identifier(self) -> bytes:
        """SHA-1 of the key's bits (RFC 5280 section 4.2.1.2, method 1)."""
        return hashlib.sha1(der.key_bits(self.public_key), usedforsecurity=False).digest()


def random_serial() -> bytes:
    """16 random octets, not all zero: a serial is positive (RFC 5280 section 4.1.2.2)."""
    while not any(serial := os.urandom(SERIAL_SIZE)):
        pass
    return serial


def common_name(wanted: str, dns_names: tuple[str, ...]) -> str:
    """What was asked for, else the first DNS name if it fits a common name, else none."""
    if wanted or not dns_names or len(dns_names[0]) > MAX_COMMON_NAME:
        return wanted
    return dns_names[0]


def to_be_signed(leaf: Leaf) -> bytes:
    """The TBSCertificate (RFC 5280 section 4.1), DER."""
    validity = der.sequence(der.time(leaf.not_before), der.time(leaf.not_after))
    key_identifier = der.tlv(der.OCTET_STRING, leaf.subject_key_identifier)
    extensions = der.sequence(
        _FIXED,
        extension(SKI, key_identifier),
        issuer_key_extension(leaf.authority_key_identifier),
        extension(SAN, _general_names(leaf)),
    )
    return der.sequence(
        VERSION_3,
        der.integer(int.from_bytes(leaf.serial, "big")),
        leaf.algorithm,
        leaf.issuer,
        validity,
        _subject(leaf.common_name),
        leaf.public_key,
        der.tlv(EXTENSIONS, extensions),
    )


def certificate(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """The whole certificate, DER."""
    return der.sequence(tbs, algorithm, der.bit_string(signature))


def _subject(name: str) -> bytes:
    if not name:
        return der.sequence(_SUBJECT)
    return der.sequence(_SUBJECT, _attribute(_COMMON_NAME, der.UTF8_STRING, name))


def _general_names(leaf: Leaf) -> bytes:
    names = [der.tlv(_DNS_NAME, name.encode()) for name in leaf.dns_names]
    return der.sequence(*names, der.tlv(URI, leaf.spiffe_id.encode()))


@lru_cache(maxsize=16)
def issuer_key_extension(identifier: bytes) -> bytes:
    """The authority key identifier (RFC 5280 section 4.2.1.1)."""
    return extension(_AKI, der.sequence(der.tlv(_KEY_IDENTIFIER, identifier)))
