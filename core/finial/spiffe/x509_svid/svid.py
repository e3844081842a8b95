"""An X509-SVID that we hold: chain and key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key

from finial.spiffe import certificate
from finial.spiffe.errors import X509SvidError
from finial.spiffe.x509_svid.identity import spiffe_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.spiffe.spiffe_id import SpiffeId


@dataclass(frozen=True, slots=True)
class X509Svid:
    """An identity with its private key; the key never shows in its text.

    Attributes:
        id: the SPIFFE ID of the leaf.
        chain: DER certificates, leaf first, the self-signed root left out.
        key_pkcs8: the private key, unencrypted PKCS#8 DER.
        not_before: the leaf's, Unix seconds.
        not_after: the leaf's, Unix seconds.
        serial: the leaf's serial number.
        hint: what the operator calls it, for workloads with several.
    """

    id: SpiffeId
    chain: tuple[bytes, ...] = field(repr=False)
    key_pkcs8: bytes = field(repr=False)
    not_before: int
    not_after: int
    serial: int
    hint: str = ""

    @classmethod
    def parse(cls, chain_der: Sequence[bytes], key_pkcs8: bytes, *, hint: str = "") -> Self:
        """Read a chain and the key of its leaf. Whether the chain is trusted is not asked.

        Raises:
            X509SvidError: a certificate or the key is malformed, the leaf is a CA or has no SPIFFE
                ID, or the key is not the leaf's.
        """
        if not chain_der:
            raise X509SvidError("an X509-SVID needs at least one certificate")
        try:
            leaf, *_ = [certificate.load(der) for der in chain_der]
            leaf_key = certificate.key_of(leaf)
        except ValueError as error:
            raise X509SvidError(str(error)) from None
        if certificate.is_ca(leaf):
            raise X509SvidError("leaf certificate is a CA")
        if _public_half(key_pkcs8) != leaf_key:
            raise X509SvidError("private key does not match the leaf certificate")
        validity = certificate.validity_of(leaf)
        return cls(
            id=spiffe_id_of(leaf),
            chain=tuple(chain_der),
            key_pkcs8=key_pkcs8,
            not_before=validity.not_before,
            not_after=validity.not_after,
            serial=leaf.serial_number,
            hint=hint,
        )


def _public_half(key_pkcs8: bytes) -> object:
    try:
        key = load_der_private_key(key_pkcs8, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise X509SvidError("private key is not an unencrypted PKCS#8 key") from None
    return key.public_key()
