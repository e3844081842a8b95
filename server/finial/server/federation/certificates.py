"""A certificate chain and its key in files, served as they are now.

Whoever renews them writes one file after the other, or replaces a symbolic link; what is read in
between doesn't fit. So a pair is taken only when it can be served, else the one before is kept,
and looked at again at the next turn.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from finial.runtime.logging import log
from finial.runtime.rpc import TlsIdentity
from finial.runtime.web.tls import server_context

if TYPE_CHECKING:
    from pathlib import Path

    from finial.runtime.clock import Clock

logger = logging.getLogger(__name__)

_MOST = 1 << 20
"""Bytes of a file that is read; a chain has some thousands."""


_NO_NAMES = (
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    ValueError,
)
"""What is raised for a certificate whose alternative names are missing or cannot be read."""


class CertificateError(OSError):
    """Certificate files cannot be served; the text names them, and says why."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the files held when they were looked at."""

    chain: bytes
    key: bytes


class CertificateFiles:
    """The identity that two PEM files hold.

    Args:
        chain: the certificate and those between it and its authority, leaf first.
        key: its private key, unencrypted.
        interval: seconds between two looks.
        clock: to wait on.
    """

    def __init__(self, chain: Path, key: Path, *, interval: float, clock: Clock) -> None:
        self._chain = chain
        self._key = key
        self._interval = interval
        self._clock = clock
        self._seen: _Seen | None = None
        self._identity: TlsIdentity | None = None

    async def start(self) -> None:
        """Read the files for the first time.

        Raises:
            CertificateError: they cannot be served.
        """
        self._seen = await asyncio.to_thread(self._look)
        self._identity = await asyncio.to_thread(self._read, self._seen)

    def identity(self) -> TlsIdentity:
        """What is served now.

        Raises:
            CertificateError: before `start`.
        """
        if self._identity is None:
            raise CertificateError(f"{self._chain} has not been read yet")
        return self._identity

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep(self._interval)
            await self.look()

    async def look(self) -> None:
        """Take what the files hold now, if it is something else and can be served."""
        try:
            seen = await asyncio.to_thread(self._look)
            if seen == self._seen:
                return
            identity = await asyncio.to_thread(self._read, seen)
        except CertificateError as error:
            text = "the certificate that was read before stays in use"
            log(logger, logging.ERROR, text, error=str(error))
            return
        self._seen, self._identity = seen, identity
        log(logger, logging.INFO, "certificate taken from its files", file=str(self._chain))

    def _look(self) -> _Seen:
        return _Seen(_content(self._chain), _content(self._key))

    def _read(self, seen: _Seen) -> TlsIdentity:
        chain = self._certificates(seen.chain)
        identity = TlsIdentity(chain_der=chain, key_pkcs8=self._private_key(seen.key))
        try:
            server_context(identity)
        except (OSError, ValueError):  # OpenSSL's text may quote what it was given
            raise CertificateError(
                f"{self._chain} and {self._key} do not fit each other, or cannot be served"
            ) from None
        return identity

    def _certificates(self, pem: bytes) -> tuple[bytes, ...]:
        try:
            found = x509.load_pem_x509_certificates(pem)
        except (ValueError, Warning):
            raise CertificateError(f"{self._chain} holds no certificate, or a broken one") from None
        if not _names_host(found[0]):  # FED-16
            raise CertificateError(
                f"the certificate in {self._chain} names no host: have it issued for the name or "
                "address in the endpoint's URL"
            )
        return tuple(each.public_bytes(Encoding.DER) for each in found)

    def _private_key(self, pem: bytes) -> bytes:
        try:
            key = load_pem_private_key(pem, None)
            return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise CertificateError(
                f"{self._key} holds no private key, a broken one, or one with a passphrase"
            ) from None


def _names_host(certificate: x509.Certificate) -> bool:
    """Whether it has a DNS name or an address as an alternative name: clients look there only."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except _NO_NAMES:
        return False
    return any(isinstance(name, x509.DNSName | x509.IPAddress) for name in names)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CertificateError(f"{path} cannot be read: {reason}") from None
