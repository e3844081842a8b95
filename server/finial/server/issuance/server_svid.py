"""The server's own X509-SVID, with which it meets its agents."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from finial.runtime.alarm import Alarm
from finial.runtime.backoff import Backoff
from finial.runtime.logging import log
from finial.runtime.rpc.tls import TlsIdentity
from finial.server.issuance.orders import IssuedX509, IssueError, X509Order
from finial.spiffe.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.runtime.clock import Clock
    from finial.spiffe.trust_domain import TrustDomain

_LOGGER = logging.getLogger(__name__)
_PATH = "/spire/server"


class IssuesX509(Protocol):
    """What is needed of the issuer."""

    async def issue_x509(self, orders: Sequence[X509Order]) -> list[IssuedX509 | IssueError]: ...


class ServerSvidError(Exception):
    """The server could not issue its own SVID."""


@dataclass(frozen=True, slots=True)
class _Current:
    identity: TlsIdentity
    renew_at: float


class ServerSvid:
    """Holds the SVID and renews it at half of its life, each time with a new key.

    The key is made in this process and is the only private key here: it proves who the server
    is and signs nothing for others.
    """

    def __init__(self, trust_domain: TrustDomain, *, issuer: IssuesX509, clock: Clock) -> None:
        self.id = SpiffeId.of(trust_domain, _PATH)
        self._issuer = issuer
        self._clock = clock
        self._current: _Current | None = None
        self._alarm = Alarm()

    def identity(self) -> TlsIdentity:
        """The SVID in force.

        Raises:
            ServerSvidError: before `start`.
        """
        if self._current is None:
            raise ServerSvidError("server is initializing")
        return self._current.identity

    async def start(self) -> None:
        """Get the first SVID.

        Raises:
            ServerSvidError: the issuer has none to give.
        """
        await self._renew()

    async def run(self) -> None:
        """Renew, until cancelled. An SVID in hand is served until there is another."""
        backoff = Backoff(self._clock, random.SystemRandom(), base=0.5, cap=15.0)
        while True:
            due = 0.0 if self._current is None else self._current.renew_at
            await self._alarm.wait(self._clock.sleep_until(due))
            try:
                await self._renew()
                backoff.reset()
            except ServerSvidError as error:
                log(_LOGGER, logging.ERROR, "server SVID cannot be renewed", error=str(error))
                await backoff.wait()
                self._alarm.ring()

    def renew(self) -> None:
        """Renew now: the authority that signed the SVID is lost or distrusted."""
        self._alarm.ring()

    async def _renew(self) -> None:
        key, csr = _new_key()
        now = self._clock.time()
        order = X509Order(kind="server", spiffe_id=self.id, csr=csr)
        (issued,) = await self._issuer.issue_x509([order])
        if isinstance(issued, IssueError):
            raise ServerSvidError(issued.message)
        identity = TlsIdentity(chain_der=issued.chain, key_pkcs8=key)
        self._current = _Current(identity, now + (issued.not_after - now) / 2)
        log(_LOGGER, logging.INFO, "server SVID renewed", expires_at=issued.not_after)


def _new_key() -> tuple[bytes, bytes]:
    """A private key as PKCS#8, and a request for a certificate of it; both DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return (
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER),
    )
